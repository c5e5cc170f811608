// out[M,N] = A[M,K]·B[K,N]: the input gradient of a linear layer, dy·W. K % 4 = 0, N % 4 = 0.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

/// Rows of a tile, in fours.
#count ROWS = 3

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
    let n4 = dims.n / 4u;
#each r < ROWS
    let rows{r} = four(row + 4u * {r}u, dims.m, k4, lane);
#end
#each c < COLS
    let col{c} = min(col + {c}u, n4 - 1u);
#end
#include gemm_direct_sums

    for (var k = 0u; k < k4; k++) {
#each r < ROWS
        let a{r} = load_four(rows{r}, k);
#end
        let first = 4u * k * n4;
#each c < COLS
        let b{c}_0 = load_b(first + col{c});
        let b{c}_1 = load_b(first + n4 + col{c});
        let b{c}_2 = load_b(first + 2u * n4 + col{c});
        let b{c}_3 = load_b(first + 3u * n4 + col{c});
#end
#each r < ROWS, c < COLS
        x{r}_{c} += a{r}[0].x * b{c}_0 + a{r}[0].y * b{c}_1 + a{r}[0].z * b{c}_2 + a{r}[0].w * b{c}_3;
        y{r}_{c} += a{r}[1].x * b{c}_0 + a{r}[1].y * b{c}_1 + a{r}[1].z * b{c}_2 + a{r}[1].w * b{c}_3;
        z{r}_{c} += a{r}[2].x * b{c}_0 + a{r}[2].y * b{c}_1 + a{r}[2].z * b{c}_2 + a{r}[2].w * b{c}_3;
        w{r}_{c} += a{r}[3].x * b{c}_0 + a{r}[3].y * b{c}_1 + a{r}[3].z * b{c}_2 + a{r}[3].w * b{c}_3;
#end
    }

#include gemm_direct_store
}
