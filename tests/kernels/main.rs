//! Every op against plain f64 code, forward and backward: at awkward sizes, on the
//! twins and on the shaders, these with their run-time checks on and off.

mod attention;
mod attention_cooperative;
mod attention_lengths;
mod batch_norm;
mod bench;
#[path = "../common/mod.rs"]
mod common;
mod cooperative;
mod cross_entropy;
mod discrete;
mod dropout;
mod dropout_sites;
mod folded;
mod gemm;
mod half_precision;
mod half_training;
mod layer_norm;
mod loss;
mod mask;
mod optimizer;
mod oracle;
mod oracle_heads;
mod patchify;
mod pool;
mod residual;
mod softmax;
mod tokens;
mod tune;
