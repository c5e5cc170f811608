// out[M,N] = A[K,M]ᵀ·B[K,N]: the weight gradient of a linear layer, dyᵀ·x. M % 4 = 0, N % 4 = 0,
// any K. The sum over K (the batch) runs in order within one invocation.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

/// vec4 rows of a tile: the four that are loaded together.
#count ROWS = 4

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
    let m4 = dims.m / 4u;
    let n4 = dims.n / 4u;
    let rows = four(row / 4u, m4, 1u, lane);
#each c < COLS
    let col{c} = min(col + {c}u, n4 - 1u);
#end
#include gemm_direct_sums

    // Pairs of K steps: the second of a last odd step is multiplied by zero.
    for (var k = 0u; k < dims.k; k += 2u) {
        let next = min(k + 1u, dims.k - 1u);
        let a0 = load_four(rows, k * m4);
        let a1 = load_four(rows, next * m4) * select(0.0, 1.0, k < next);
#each c < COLS
        let b{c}_0 = load_b(k * n4 + col{c});
        let b{c}_1 = load_b(next * n4 + col{c});
#end
#each r < ROWS, c < COLS
        x{r}_{c} += a0[{r}].x * b{c}_0 + a1[{r}].x * b{c}_1;
        y{r}_{c} += a0[{r}].y * b{c}_0 + a1[{r}].y * b{c}_1;
        z{r}_{c} += a0[{r}].z * b{c}_0 + a1[{r}].z * b{c}_1;
        w{r}_{c} += a0[{r}].w * b{c}_0 + a1[{r}].w * b{c}_1;
#end
    }

#include gemm_direct_store
}
