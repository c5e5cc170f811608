//! Every op against plain f64 code, forward and backward: at awkward sizes, on the kernels of both
//! tiers, and with the shaders' run-time checks on and off.

mod attention;
mod attention_lengths;
mod bench;
#[path = "../common/mod.rs"]
mod common;
mod cooperative;
mod discrete;
mod drop_path;
mod folded;
mod half_precision;
mod half_training;
mod heads;
mod linear;
mod loss;
mod masks;
mod norms;
mod optim;
mod oracle;
mod oracle_heads;
mod patches;
mod tokens;
mod tune;
