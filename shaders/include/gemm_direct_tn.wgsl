// out[M,N] = A[K,M]ᵀ·B[K,N]: the weight gradient of a linear layer, dyᵀ·x. M % 4 = 0, N % 4 = 0,
// any K. The sum over K (the batch) runs in order within one invocation.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

const TILE_ROWS: u32 = 16u;

@compute @workgroup_size(8, 1)
fn main(
    @builtin(workgroup_id) wid: vec3<u32>,
    @builtin(num_workgroups) nwg: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let origin = tile_origin(group_index(wid, nwg) * 8u + lane, TILE_ROWS);
    let row = origin.x;
    let col = origin.y;
    if (row >= dims.m) {
        return;
    }
    let m4 = dims.m / 4u;
    let n4 = dims.n / 4u;
    let col0 = col;
    let col1 = min(col + 1u, n4 - 1u);
    let row0 = row / 4u;
    let row1 = min(row / 4u + 1u, m4 - 1u);
    let row2 = min(row / 4u + 2u, m4 - 1u);
    let row3 = min(row / 4u + 3u, m4 - 1u);

    var c0_0 = vec4<f32>();
    var c0_1 = vec4<f32>();
    var c1_0 = vec4<f32>();
    var c1_1 = vec4<f32>();
    var c2_0 = vec4<f32>();
    var c2_1 = vec4<f32>();
    var c3_0 = vec4<f32>();
    var c3_1 = vec4<f32>();
    var c4_0 = vec4<f32>();
    var c4_1 = vec4<f32>();
    var c5_0 = vec4<f32>();
    var c5_1 = vec4<f32>();
    var c6_0 = vec4<f32>();
    var c6_1 = vec4<f32>();
    var c7_0 = vec4<f32>();
    var c7_1 = vec4<f32>();
    var c8_0 = vec4<f32>();
    var c8_1 = vec4<f32>();
    var c9_0 = vec4<f32>();
    var c9_1 = vec4<f32>();
    var c10_0 = vec4<f32>();
    var c10_1 = vec4<f32>();
    var c11_0 = vec4<f32>();
    var c11_1 = vec4<f32>();
    var c12_0 = vec4<f32>();
    var c12_1 = vec4<f32>();
    var c13_0 = vec4<f32>();
    var c13_1 = vec4<f32>();
    var c14_0 = vec4<f32>();
    var c14_1 = vec4<f32>();
    var c15_0 = vec4<f32>();
    var c15_1 = vec4<f32>();

    // Pairs of K steps: the second of a last odd step is multiplied by zero.
    for (var k = 0u; k < dims.k; k += 2u) {
        let next = min(k + 1u, dims.k - 1u);
        let a0_0 = load_a(k * m4 + row0);
        let a1_0 = load_a(k * m4 + row1);
        let a2_0 = load_a(k * m4 + row2);
        let a3_0 = load_a(k * m4 + row3);
        let b0_0 = load_b(k * n4 + col0);
        let b0_1 = load_b(k * n4 + col1);
        let a0_1 = select(vec4<f32>(), load_a(next * m4 + row0), k < next);
        let a1_1 = select(vec4<f32>(), load_a(next * m4 + row1), k < next);
        let a2_1 = select(vec4<f32>(), load_a(next * m4 + row2), k < next);
        let a3_1 = select(vec4<f32>(), load_a(next * m4 + row3), k < next);
        let b1_0 = select(vec4<f32>(), load_b(next * n4 + col0), k < next);
        let b1_1 = select(vec4<f32>(), load_b(next * n4 + col1), k < next);
        c0_0 += a0_0.x * b0_0 + a0_1.x * b1_0;
        c0_1 += a0_0.x * b0_1 + a0_1.x * b1_1;
        c1_0 += a0_0.y * b0_0 + a0_1.y * b1_0;
        c1_1 += a0_0.y * b0_1 + a0_1.y * b1_1;
        c2_0 += a0_0.z * b0_0 + a0_1.z * b1_0;
        c2_1 += a0_0.z * b0_1 + a0_1.z * b1_1;
        c3_0 += a0_0.w * b0_0 + a0_1.w * b1_0;
        c3_1 += a0_0.w * b0_1 + a0_1.w * b1_1;
        c4_0 += a1_0.x * b0_0 + a1_1.x * b1_0;
        c4_1 += a1_0.x * b0_1 + a1_1.x * b1_1;
        c5_0 += a1_0.y * b0_0 + a1_1.y * b1_0;
        c5_1 += a1_0.y * b0_1 + a1_1.y * b1_1;
        c6_0 += a1_0.z * b0_0 + a1_1.z * b1_0;
        c6_1 += a1_0.z * b0_1 + a1_1.z * b1_1;
        c7_0 += a1_0.w * b0_0 + a1_1.w * b1_0;
        c7_1 += a1_0.w * b0_1 + a1_1.w * b1_1;
        c8_0 += a2_0.x * b0_0 + a2_1.x * b1_0;
        c8_1 += a2_0.x * b0_1 + a2_1.x * b1_1;
        c9_0 += a2_0.y * b0_0 + a2_1.y * b1_0;
        c9_1 += a2_0.y * b0_1 + a2_1.y * b1_1;
        c10_0 += a2_0.z * b0_0 + a2_1.z * b1_0;
        c10_1 += a2_0.z * b0_1 + a2_1.z * b1_1;
        c11_0 += a2_0.w * b0_0 + a2_1.w * b1_0;
        c11_1 += a2_0.w * b0_1 + a2_1.w * b1_1;
        c12_0 += a3_0.x * b0_0 + a3_1.x * b1_0;
        c12_1 += a3_0.x * b0_1 + a3_1.x * b1_1;
        c13_0 += a3_0.y * b0_0 + a3_1.y * b1_0;
        c13_1 += a3_0.y * b0_1 + a3_1.y * b1_1;
        c14_0 += a3_0.z * b0_0 + a3_1.z * b1_0;
        c14_1 += a3_0.z * b0_1 + a3_1.z * b1_1;
        c15_0 += a3_0.w * b0_0 + a3_1.w * b1_0;
        c15_1 += a3_0.w * b0_1 + a3_1.w * b1_1;
    }

    var left = array<vec4<f32>, TILE_ROWS>(
        c0_0, c1_0, c2_0, c3_0,
        c4_0, c5_0, c6_0, c7_0,
        c8_0, c9_0, c10_0, c11_0,
        c12_0, c13_0, c14_0, c15_0,
    );
    var right = array<vec4<f32>, TILE_ROWS>(
        c0_1, c1_1, c2_1, c3_1,
        c4_1, c5_1, c6_1, c7_1,
        c8_1, c9_1, c10_1, c11_1,
        c12_1, c13_1, c14_1, c15_1,
    );
    let bias_left = load_bias(col);
    let bias_right = load_bias(col + 1u);
    for (var r = 0u; r < TILE_ROWS; r++) {
        store(row + r, col, left[r], bias_left);
        store(row + r, col + 1u, right[r], bias_right);
    }
}
