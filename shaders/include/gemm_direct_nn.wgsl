// out[M,N] = A[M,K]·B[K,N]: the input gradient of a linear layer, dy·W. K % 4 = 0, N % 4 = 0.
// Rows and columns past the edge are read at the last valid place and dropped by `store`.

const TILE_ROWS: u32 = 12u;

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
    let k4 = dims.k / 4u;
    let n4 = dims.n / 4u;
    let col0 = col;
    let col1 = min(col + 1u, n4 - 1u);

    let row0 = row * k4;
    let row1 = min(row + 1u, dims.m - 1u) * k4;
    let row2 = min(row + 2u, dims.m - 1u) * k4;
    let row3 = min(row + 3u, dims.m - 1u) * k4;
    let row4 = min(row + 4u, dims.m - 1u) * k4;
    let row5 = min(row + 5u, dims.m - 1u) * k4;
    let row6 = min(row + 6u, dims.m - 1u) * k4;
    let row7 = min(row + 7u, dims.m - 1u) * k4;
    let row8 = min(row + 8u, dims.m - 1u) * k4;
    let row9 = min(row + 9u, dims.m - 1u) * k4;
    let row10 = min(row + 10u, dims.m - 1u) * k4;
    let row11 = min(row + 11u, dims.m - 1u) * k4;

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

    for (var k = 0u; k < k4; k++) {
        let a0 = load_a(row0 + k);
        let a1 = load_a(row1 + k);
        let a2 = load_a(row2 + k);
        let a3 = load_a(row3 + k);
        let a4 = load_a(row4 + k);
        let a5 = load_a(row5 + k);
        let a6 = load_a(row6 + k);
        let a7 = load_a(row7 + k);
        let a8 = load_a(row8 + k);
        let a9 = load_a(row9 + k);
        let a10 = load_a(row10 + k);
        let a11 = load_a(row11 + k);
        let first = 4u * k * n4;
        let b0_0 = load_b(first + col0);
        let b0_1 = load_b(first + col1);
        let b1_0 = load_b(first + n4 + col0);
        let b1_1 = load_b(first + n4 + col1);
        let b2_0 = load_b(first + 2u * n4 + col0);
        let b2_1 = load_b(first + 2u * n4 + col1);
        let b3_0 = load_b(first + 3u * n4 + col0);
        let b3_1 = load_b(first + 3u * n4 + col1);
        c0_0 += a0.x * b0_0 + a0.y * b1_0 + a0.z * b2_0 + a0.w * b3_0;
        c0_1 += a0.x * b0_1 + a0.y * b1_1 + a0.z * b2_1 + a0.w * b3_1;
        c1_0 += a1.x * b0_0 + a1.y * b1_0 + a1.z * b2_0 + a1.w * b3_0;
        c1_1 += a1.x * b0_1 + a1.y * b1_1 + a1.z * b2_1 + a1.w * b3_1;
        c2_0 += a2.x * b0_0 + a2.y * b1_0 + a2.z * b2_0 + a2.w * b3_0;
        c2_1 += a2.x * b0_1 + a2.y * b1_1 + a2.z * b2_1 + a2.w * b3_1;
        c3_0 += a3.x * b0_0 + a3.y * b1_0 + a3.z * b2_0 + a3.w * b3_0;
        c3_1 += a3.x * b0_1 + a3.y * b1_1 + a3.z * b2_1 + a3.w * b3_1;
        c4_0 += a4.x * b0_0 + a4.y * b1_0 + a4.z * b2_0 + a4.w * b3_0;
        c4_1 += a4.x * b0_1 + a4.y * b1_1 + a4.z * b2_1 + a4.w * b3_1;
        c5_0 += a5.x * b0_0 + a5.y * b1_0 + a5.z * b2_0 + a5.w * b3_0;
        c5_1 += a5.x * b0_1 + a5.y * b1_1 + a5.z * b2_1 + a5.w * b3_1;
        c6_0 += a6.x * b0_0 + a6.y * b1_0 + a6.z * b2_0 + a6.w * b3_0;
        c6_1 += a6.x * b0_1 + a6.y * b1_1 + a6.z * b2_1 + a6.w * b3_1;
        c7_0 += a7.x * b0_0 + a7.y * b1_0 + a7.z * b2_0 + a7.w * b3_0;
        c7_1 += a7.x * b0_1 + a7.y * b1_1 + a7.z * b2_1 + a7.w * b3_1;
        c8_0 += a8.x * b0_0 + a8.y * b1_0 + a8.z * b2_0 + a8.w * b3_0;
        c8_1 += a8.x * b0_1 + a8.y * b1_1 + a8.z * b2_1 + a8.w * b3_1;
        c9_0 += a9.x * b0_0 + a9.y * b1_0 + a9.z * b2_0 + a9.w * b3_0;
        c9_1 += a9.x * b0_1 + a9.y * b1_1 + a9.z * b2_1 + a9.w * b3_1;
        c10_0 += a10.x * b0_0 + a10.y * b1_0 + a10.z * b2_0 + a10.w * b3_0;
        c10_1 += a10.x * b0_1 + a10.y * b1_1 + a10.z * b2_1 + a10.w * b3_1;
        c11_0 += a11.x * b0_0 + a11.y * b1_0 + a11.z * b2_0 + a11.w * b3_0;
        c11_1 += a11.x * b0_1 + a11.y * b1_1 + a11.z * b2_1 + a11.w * b3_1;
    }

    var left = array<vec4<f32>, TILE_ROWS>(
        c0_0, c1_0, c2_0, c3_0,
        c4_0, c5_0, c6_0, c7_0,
        c8_0, c9_0, c10_0, c11_0,
    );
    var right = array<vec4<f32>, TILE_ROWS>(
        c0_1, c1_1, c2_1, c3_1,
        c4_1, c5_1, c6_1, c7_1,
        c8_1, c9_1, c10_1, c11_1,
    );
    let bias_left = load_bias(col);
    let bias_right = load_bias(col + 1u);
    for (var r = 0u; r < TILE_ROWS; r++) {
        store(row + r, col, left[r], bias_left);
        store(row + r, col + 1u, right[r], bias_right);
    }
}
