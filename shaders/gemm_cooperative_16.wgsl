//! enable wgpu_cooperative_matrix
//! include gemm_operands_buffer
//! include gemm_epilogue
//! include gemm_tiles
//! include gemm_cooperative
// `out[M,N] = op(A)·op(B)` by fragments of 16×16, with sums in f32.

const EXTENT: u32 = 16u;
alias FragmentA = coop_mat16x16<act, A>;
alias FragmentB = coop_mat16x16<act, B>;
alias FragmentC = coop_mat16x16<f32, C>;
