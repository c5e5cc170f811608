//! enable wgpu_cooperative_matrix
//! include gemm_operands_buffer
//! include gemm_epilogue
//! include gemm_tiles
//! include gemm_cooperative
// `out[M,N] = op(A)·op(B)` by fragments of 8×8, with sums in f32.

const EXTENT: u32 = 8u;
alias FragmentA = coop_mat8x8<act, A>;
alias FragmentB = coop_mat8x8<act, B>;
alias FragmentC = coop_mat8x8<f32, C>;
