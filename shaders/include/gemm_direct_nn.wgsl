// out[M,N] = A[M,K]·B[K,N]: the input gradient of a linear layer, dy·W. K % 4 = 0, N % 4 = 0.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

#count ROWS = 12

@compute @workgroup_size({LANES}, 1)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = tile_origin(group_index(wid, nwg) * {LANES}u + lane, {ROWS}u);
    let row = origin.x;
    let col = origin.y;
    if (row >= dims.m) {
        return;
    }
    let k4 = dims.k / 4u;
    let n4 = dims.n / 4u;
#each r < ROWS
    let row{r} = min(row + {r}u, dims.m - 1u) * k4;
#end
#each c < COLS
    let col{c} = min(col + {c}u, n4 - 1u);
#end
#each r < ROWS, c < COLS
    var c{r}_{c} = vec4<f32>();
#end

    for (var k = 0u; k < k4; k++) {
#each r < ROWS
        let a{r} = load_a(row{r} + k);
#end
        let first = 4u * k * n4;
#each c < COLS
        let b0_{c} = load_b(first + col{c});
        let b1_{c} = load_b(first + n4 + col{c});
        let b2_{c} = load_b(first + 2u * n4 + col{c});
        let b3_{c} = load_b(first + 3u * n4 + col{c});
#end
#each r < ROWS, c < COLS
        c{r}_{c} += a{r}.x * b0_{c} + a{r}.y * b1_{c} + a{r}.z * b2_{c} + a{r}.w * b3_{c};
#end
    }

#each c < COLS
    var column{c} = array<vec4<f32>, {ROWS}>(
#each r < ROWS
        c{r}_{c},
#end
    );
    let bias{c} = load_bias(col + {c}u);
#end
    for (var r = 0u; r < {ROWS}u; r++) {
#each c < COLS
        store(row + r, col + {c}u, column{c}[r], bias{c});
#end
    }
}
