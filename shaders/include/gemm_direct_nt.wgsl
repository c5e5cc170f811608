// out[M,N] = A[M,K]·B[N,K]ᵀ: the forward pass of a linear layer, x·Wᵀ. K % 4 = 0, N % 4 = 0.
// Both operands are read along K; every output is a sum of four-element dot products.
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
#each r < ROWS
    let row{r} = min(row + {r}u, dims.m - 1u) * k4;
#end
#each c < COLS
    let col{c} = 4u * min(col + {c}u, dims.n / 4u - 1u) * k4;
#end
#each r < ROWS, c < COLS
    var c{r}_{c} = vec4<f32>();
#end

    for (var k = 0u; k < k4; k++) {
#each r < ROWS
        let a{r} = load_a(row{r} + k);
#end
#each c < COLS
        let b{c}_0 = load_b(col{c} + k);
        let b{c}_1 = load_b(col{c} + k4 + k);
        let b{c}_2 = load_b(col{c} + 2u * k4 + k);
        let b{c}_3 = load_b(col{c} + 3u * k4 + k);
#end
#each r < ROWS, c < COLS
        c{r}_{c} += vec4<f32>(
            dot(a{r}, b{c}_0), dot(a{r}, b{c}_1), dot(a{r}, b{c}_2), dot(a{r}, b{c}_3));
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
