//! The transformer block that encoder and decoder are made of.

use super::drops::{BlockDrops, Drops, Site};
use crate::config::StackConfig;
use crate::ops::{Heads, attention, layer_norm, linear, linear_residual, mlp};
use crate::program::{Recorder, Tensor};

/// The blocks of `stack` one after the other on `x [B, T, D]`, which the recording may recompute: the output
/// of each. Parameters are found under `name.0`, `name.1`, …
pub(super) fn blocks(
    rec: &mut Recorder,
    name: &str,
    stack: &StackConfig,
    eps: f32,
    mut x: Tensor,
    drops: Drops,
) -> Vec<Tensor> {
    let mut outputs = Vec::with_capacity(stack.depth);
    for i in 0..stack.depth {
        let drops = drops.of_block(i);
        let (name, stack) = (format!("{name}.{i}"), *stack);
        x = rec.recomputed(move |rec| block(rec, &name, &stack, eps, x, drops));
        outputs.push(x);
    }
    outputs
}

/// A pre-norm block: `x + attn(norm1(x))`, then `x + mlp(norm2(x))`, on `x [B, T, D]`. Parameters
/// are found under `name`; a missing bias or output projection is left out.
pub(super) fn block(
    rec: &mut Recorder,
    name: &str,
    stack: &StackConfig,
    eps: f32,
    x: Tensor,
    drops: BlockDrops,
) -> Tensor {
    let param = |rec: &Recorder, part: &str| rec.param(&format!("{name}.{part}"));
    let pair = |rec: &Recorder, part: &str| {
        [param(rec, &format!("{part}.weight")), param(rec, &format!("{part}.bias"))]
    };
    let qkv = qkv(rec, name, eps, x);
    let heads = Heads { count: stack.heads, dim: stack.dim_head };
    let attended = attention(rec, qkv, heads, drops.at(Site::Probabilities));
    let has_projection = rec.find_param(&format!("{name}.attn.proj.weight")).is_some();
    let x = if has_projection && drops.is_empty() {
        let [weight, bias] = pair(rec, "attn.proj");
        linear_residual(rec, attended, weight, Some(bias), x)
    } else {
        let mut branch = attended;
        if has_projection {
            branch = projection(rec, &format!("{name}.attn.proj"), branch);
            branch = drops.drop_some(rec, branch, Site::Projection);
        }
        drops.connect(rec, x, branch, 0)
    };
    rec.set_scope(format!("{name}.mlp"));
    let [gamma, beta] = pair(rec, "norm2");
    let normed = layer_norm(rec, x, gamma, beta, eps);
    let (fc1, fc2) = (pair(rec, "mlp.fc1"), pair(rec, "mlp.fc2"));
    if drops.is_empty() {
        return mlp(rec, normed, fc1, fc2, Some(x), None);
    }
    let branch = mlp(rec, normed, fc1, fc2, None, drops.at(Site::Activations));
    let branch = drops.drop_some(rec, branch, Site::Output);
    drops.connect(rec, x, branch, 1)
}

/// Queries, keys and values of a block on its input `x [B, T, D]`: `[B, T, 3·H·d]`.
pub(super) fn qkv(rec: &mut Recorder, name: &str, eps: f32, x: Tensor) -> Tensor {
    rec.set_scope(format!("{name}.attn"));
    let normed = norm(rec, &format!("{name}.norm1"), eps, x);
    let weight = rec.param(&format!("{name}.attn.qkv.weight"));
    let bias = rec.find_param(&format!("{name}.attn.qkv.bias"));
    linear(rec, normed, weight, bias)
}

/// LayerNorm with the parameters `name.weight` and `name.bias`.
pub(super) fn norm(rec: &mut Recorder, name: &str, eps: f32, x: Tensor) -> Tensor {
    let (gamma, beta) = (rec.param(&format!("{name}.weight")), rec.param(&format!("{name}.bias")));
    layer_norm(rec, x, gamma, beta, eps)
}

/// Linear layer with the parameters `name.weight` and `name.bias`.
pub(super) fn projection(rec: &mut Recorder, name: &str, x: Tensor) -> Tensor {
    let weight = rec.param(&format!("{name}.weight"));
    let bias = rec.param(&format!("{name}.bias"));
    linear(rec, x, weight, Some(bias))
}
