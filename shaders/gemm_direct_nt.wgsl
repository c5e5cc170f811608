//! include gemm_operands_buffer
//! include gemm_epilogue
//! include gemm_direct
//! include gemm_lanes_apart
//! include gemm_direct_nt
// `out[M,N] = A[M,K]·B[N,K]ᵀ` for CPU drivers, operands in storage buffers.
