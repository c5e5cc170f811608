// out[M,N] = A[M,K]·B[N,K]ᵀ: the forward pass of a linear layer, x·Wᵀ. K % 4 = 0, N % 4 = 0.
// Both operands are read along K; every output is a sum of four-element dot products.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

/// Rows of a tile, in fours.
#count ROWS = 3

/// The products of a vector with four columns.
fn dots(a: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> vec4<f32> {
    return vec4<f32>(dot(a, b0), dot(a, b1), dot(a, b2), dot(a, b3));
}

@compute @workgroup_size({LANES}, 1)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let group = group_index(wid, nwg);
    let row = first_row(group, lane, 4u * {ROWS}u);
    let col = first_col(group, lane, 4u * {ROWS}u);
    if (row >= dims.m) {
        return;
    }
    let k4 = dims.k / 4u;
#each r < ROWS
    let rows{r} = four(row + 4u * {r}u, dims.m, k4, lane);
#end
#each c < COLS
    let col{c} = 4u * min(col + {c}u, dims.n / 4u - 1u) * k4;
#end
#include gemm_direct_sums

    for (var k = 0u; k < k4; k++) {
#each r < ROWS
        let a{r} = load_four(rows{r}, k);
#end
#each c < COLS
        let b{c}_0 = load_b(col{c} + k);
        let b{c}_1 = load_b(col{c} + k4 + k);
        let b{c}_2 = load_b(col{c} + 2u * k4 + k);
        let b{c}_3 = load_b(col{c} + 3u * k4 + k);
#end
#each r < ROWS, c < COLS
        x{r}_{c} += dots(a{r}[0], b{c}_0, b{c}_1, b{c}_2, b{c}_3);
        y{r}_{c} += dots(a{r}[1], b{c}_0, b{c}_1, b{c}_2, b{c}_3);
        z{r}_{c} += dots(a{r}[2], b{c}_0, b{c}_1, b{c}_2, b{c}_3);
        w{r}_{c} += dots(a{r}[3], b{c}_0, b{c}_1, b{c}_2, b{c}_3);
#end
    }

#include gemm_direct_store
}
