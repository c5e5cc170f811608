//! Where the encoder looks: the softmax weights of one block, on whole pictures.

use super::features::check_images;
use super::mae::encode_to_qkv;
use super::output::require_meaningful;
use super::store::ParamStore;
use crate::config::{ModelConfig, StackConfig};
use crate::error::{Error, Result};
use crate::program::{Device, Program, Recorder};

/// A forward pass of one image up to the queries and keys of a block.
pub struct AttentionMap {
    config: ModelConfig,
    program: Program,
}

impl AttentionMap {
    /// Records and builds it for encoder block `number`, counted from 0.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is no such block; [`Error::DoesNotFit`] or [`Error::Device`].
    pub fn new(
        device: &Device,
        config: &ModelConfig,
        store: &ParamStore,
        number: usize,
    ) -> Result<Self> {
        let depth = config.encoder.depth;
        if number >= depth {
            let problem = format!("block {number} of {depth}; the last one is {}", depth - 1);
            return Err(Error::argument("block", problem));
        }
        let program = Program::record(device, store.buffers(), |target| {
            let mut rec = Recorder::new(target, false);
            store.layout().declare(&mut rec, false);
            let [h, w] = config.image_size;
            let images = rec.external("images", [1, config.channels, h, w]);
            let qkv = encode_to_qkv(&mut rec, config, images, number);
            rec.keep(qkv, "qkv");
            rec
        })?;
        Ok(Self { config: config.clone(), program })
    }

    /// `[H, T, T]`: how much each token (row) takes from each other, tokens being cls, where there is
    /// one, and the patches in order. Computed on the host from the device's queries and keys: the
    /// network's own attention never holds these weights.
    ///
    /// # Errors
    /// [`Error::Argument`] if `image` is not one image, [`Error::Device`] if the device failed,
    /// [`Error::BadWeights`] if a weight is not finite.
    pub async fn run(&self, image: &[f32]) -> Result<Vec<f32>> {
        check_images(&self.program, &self.config, image)?;
        self.program.write("images", image);
        self.program.submit();
        let weights = weights(&self.program.read::<f32>("qkv").await?, &self.config.encoder);
        require_meaningful("attention weights", &weights)?;
        Ok(weights)
    }
}

/// Softmax of scaled products of queries and keys in `qkv [T, 3·H·d]`.
fn weights(qkv: &[f32], stack: &StackConfig) -> Vec<f32> {
    let (heads, dim, inner) = (stack.heads, stack.dim_head, stack.inner_dim());
    let tokens = qkv.len() / (3 * inner);
    let scale = 1.0 / (dim as f32).sqrt();
    let part = |token: usize, first: usize| &qkv[token * 3 * inner + first..][..dim];
    let mut weights = Vec::with_capacity(heads * tokens * tokens);
    for head in 0..heads {
        for query in 0..tokens {
            let query = part(query, head * dim);
            let first = weights.len();
            let score = |key: usize| {
                let key = part(key, inner + head * dim);
                query.iter().zip(key).map(|(q, k)| q * k).sum::<f32>() * scale
            };
            weights.extend((0..tokens).map(score));
            let row = &mut weights[first..];
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|w| *w = (*w - largest).exp());
            let sum: f32 = row.iter().sum();
            row.iter_mut().for_each(|w| *w /= sum);
        }
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_softmax_of_scaled_products() {
        let stack = StackConfig { dim: 4, depth: 1, heads: 2, dim_head: 2, mlp_dim: 4 };
        // Two tokens: queries (4), keys (4), values (4) each.
        let first = [1.0, 0.0, 0.0, 2.0, 1.0, 0.0, 0.5, 0.5, 9.0, 9.0, 9.0, 9.0];
        let second = [0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 9.0, 9.0, 9.0, 9.0];
        let weights = weights(&[first, second].concat(), &stack);
        let softmax = |a: f32, b: f32| {
            let (a, b) = ((a / 2f32.sqrt()).exp(), (b / 2f32.sqrt()).exp());
            [a / (a + b), b / (a + b)]
        };
        let expected =
            [softmax(1.0, 0.0), softmax(0.0, 1.0), softmax(1.0, 2.0), softmax(0.0, 0.0)].concat();
        for (found, expected) in weights.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{weights:?} is not {expected:?}");
        }
    }
}
