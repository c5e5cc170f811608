//! in place
//! include texel
//! include gemm_operands_texture
//! include gemm_epilogue
//! include gemm_direct
//! include gemm_lanes_apart
//! include gemm_direct_nn
// `out[M,N] = A[M,K]·B[K,N]` for CPU drivers, operands as textures.
