// out[M,N] = A[K,M]ᵀ·B[K,N]: the weight gradient of a linear layer, dyᵀ·x. M % 4 = 0, N % 4 = 0,
// any K. The sum over K (the batch) runs in order within one invocation.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

/// vec4 rows of a tile.
#count ROWS = 4

@compute @workgroup_size({LANES}, 1)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = tile_origin(group_index(wid, nwg) * {LANES}u + lane, 4u * {ROWS}u);
    let row = origin.x;
    let col = origin.y;
    if (row >= dims.m) {
        return;
    }
    let m4 = dims.m / 4u;
    let n4 = dims.n / 4u;
#each r < ROWS
    let row{r} = min(row / 4u + {r}u, m4 - 1u);
#end
#each c < COLS
    let col{c} = min(col + {c}u, n4 - 1u);
#end
#each r < ROWS, c < COLS
    var x{r}_{c} = vec4<f32>();
    var y{r}_{c} = vec4<f32>();
    var z{r}_{c} = vec4<f32>();
    var w{r}_{c} = vec4<f32>();
#end

    // Pairs of K steps: the second of a last odd step is multiplied by zero.
    for (var k = 0u; k < dims.k; k += 2u) {
        let next = min(k + 1u, dims.k - 1u);
#each r < ROWS
        let a0_{r} = load_a(k * m4 + row{r});
        let a1_{r} = select(vec4<f32>(), load_a(next * m4 + row{r}), k < next);
#end
#each c < COLS
        let b0_{c} = load_b(k * n4 + col{c});
        let b1_{c} = select(vec4<f32>(), load_b(next * n4 + col{c}), k < next);
#end
#each r < ROWS, c < COLS
        x{r}_{c} += a0_{r}.x * b0_{c} + a1_{r}.x * b1_{c};
        y{r}_{c} += a0_{r}.y * b0_{c} + a1_{r}.y * b1_{c};
        z{r}_{c} += a0_{r}.z * b0_{c} + a1_{r}.z * b1_{c};
        w{r}_{c} += a0_{r}.w * b0_{c} + a1_{r}.w * b1_{c};
#end
    }

#each c < COLS
    var column{c} = array<vec4<f32>, 4 * {ROWS}>(
#each r < ROWS
        x{r}_{c}, y{r}_{c}, z{r}_{c}, w{r}_{c},
#end
    );
    let bias{c} = load_bias(col + {c}u);
#end
    for (var r = 0u; r < 4u * {ROWS}u; r++) {
#each c < COLS
        store(row + r, col + {c}u, column{c}[r], bias{c});
#end
    }
}
