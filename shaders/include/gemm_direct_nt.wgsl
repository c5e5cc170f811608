// out[M,N] = A[M,K]·B[N,K]ᵀ: the forward pass of a linear layer, x·Wᵀ. K % 4 = 0, N % 4 = 0.
// Both operands are read along K; every output is a sum of four-element dot products.
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
    let col0 = 4u * col * k4;
    let col1 = min(4u * col + 1u, dims.n - 1u) * k4;
    let col2 = min(4u * col + 2u, dims.n - 1u) * k4;
    let col3 = min(4u * col + 3u, dims.n - 1u) * k4;
    let col4 = min(4u * col + 4u, dims.n - 1u) * k4;
    let col5 = min(4u * col + 5u, dims.n - 1u) * k4;
    let col6 = min(4u * col + 6u, dims.n - 1u) * k4;
    let col7 = min(4u * col + 7u, dims.n - 1u) * k4;

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
        let b0 = load_b(col0 + k);
        let b1 = load_b(col1 + k);
        let b2 = load_b(col2 + k);
        let b3 = load_b(col3 + k);
        let b4 = load_b(col4 + k);
        let b5 = load_b(col5 + k);
        let b6 = load_b(col6 + k);
        let b7 = load_b(col7 + k);
        c0_0 += vec4<f32>(dot(a0, b0), dot(a0, b1), dot(a0, b2), dot(a0, b3));
        c0_1 += vec4<f32>(dot(a0, b4), dot(a0, b5), dot(a0, b6), dot(a0, b7));
        c1_0 += vec4<f32>(dot(a1, b0), dot(a1, b1), dot(a1, b2), dot(a1, b3));
        c1_1 += vec4<f32>(dot(a1, b4), dot(a1, b5), dot(a1, b6), dot(a1, b7));
        c2_0 += vec4<f32>(dot(a2, b0), dot(a2, b1), dot(a2, b2), dot(a2, b3));
        c2_1 += vec4<f32>(dot(a2, b4), dot(a2, b5), dot(a2, b6), dot(a2, b7));
        c3_0 += vec4<f32>(dot(a3, b0), dot(a3, b1), dot(a3, b2), dot(a3, b3));
        c3_1 += vec4<f32>(dot(a3, b4), dot(a3, b5), dot(a3, b6), dot(a3, b7));
        c4_0 += vec4<f32>(dot(a4, b0), dot(a4, b1), dot(a4, b2), dot(a4, b3));
        c4_1 += vec4<f32>(dot(a4, b4), dot(a4, b5), dot(a4, b6), dot(a4, b7));
        c5_0 += vec4<f32>(dot(a5, b0), dot(a5, b1), dot(a5, b2), dot(a5, b3));
        c5_1 += vec4<f32>(dot(a5, b4), dot(a5, b5), dot(a5, b6), dot(a5, b7));
        c6_0 += vec4<f32>(dot(a6, b0), dot(a6, b1), dot(a6, b2), dot(a6, b3));
        c6_1 += vec4<f32>(dot(a6, b4), dot(a6, b5), dot(a6, b6), dot(a6, b7));
        c7_0 += vec4<f32>(dot(a7, b0), dot(a7, b1), dot(a7, b2), dot(a7, b3));
        c7_1 += vec4<f32>(dot(a7, b4), dot(a7, b5), dot(a7, b6), dot(a7, b7));
        c8_0 += vec4<f32>(dot(a8, b0), dot(a8, b1), dot(a8, b2), dot(a8, b3));
        c8_1 += vec4<f32>(dot(a8, b4), dot(a8, b5), dot(a8, b6), dot(a8, b7));
        c9_0 += vec4<f32>(dot(a9, b0), dot(a9, b1), dot(a9, b2), dot(a9, b3));
        c9_1 += vec4<f32>(dot(a9, b4), dot(a9, b5), dot(a9, b6), dot(a9, b7));
        c10_0 += vec4<f32>(dot(a10, b0), dot(a10, b1), dot(a10, b2), dot(a10, b3));
        c10_1 += vec4<f32>(dot(a10, b4), dot(a10, b5), dot(a10, b6), dot(a10, b7));
        c11_0 += vec4<f32>(dot(a11, b0), dot(a11, b1), dot(a11, b2), dot(a11, b3));
        c11_1 += vec4<f32>(dot(a11, b4), dot(a11, b5), dot(a11, b6), dot(a11, b7));
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
