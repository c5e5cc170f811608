//! What targets other than pixels are computed with, found among the patches of the training data.

use std::sync::Arc;

use crate::config::{ModelConfig, PatchTarget};
use crate::data::targets::kmeans::Codebook;
use crate::data::targets::pca::Pca;
use crate::data::{ImageSource, Normalization, fixed_batch, fixed_indices};
use crate::error::Result;
use crate::geometry::Geometry;
use crate::tensor::{HostTensor, TensorMap};

/// Patches that are looked at, at most.
const MAX_PATCHES: usize = 30_000;
/// Pictures that they come from, at most: all patches of a picture are alike.
const MAX_PICTURES: usize = 4_000;
/// Pictures that are decoded at a time.
const BATCH: usize = 64;

/// The fixed parameters `target.*` of `model`; none for pixels and given tokens. Patches are centre crops'
/// and normalised like the pictures that are trained on; which ones depends on `seed`.
///
/// # Errors
/// If no picture can be read, or there are too few patches.
pub fn target_params(
    model: &ModelConfig,
    source: &Arc<dyn ImageSource>,
    normalization: &Normalization,
    seed: u64,
) -> Result<TensorMap> {
    let dim = model.patch_dim();
    let sample = || sample_patches(model, source, normalization, seed);
    let tensors = match model.target {
        PatchTarget::Pixels | PatchTarget::Tokens { .. } => Vec::new(),
        PatchTarget::Pca { components } => {
            let Pca { mean, basis, .. } = Pca::fit(&sample()?, dim, components)?;
            let offset = |row: &[f32]| -row.iter().zip(&mean).map(|(b, m)| b * m).sum::<f32>();
            let bias: Vec<f32> = basis.chunks_exact(dim).map(offset).collect();
            vec![
                ("target.bias", HostTensor::new([components], bias)),
                ("target.basis", HostTensor::new([components, dim], basis)),
                ("target.mean", HostTensor::new([dim], mean)),
            ]
        }
        PatchTarget::Codebook { vocabulary } => {
            let Codebook { centres, .. } = Codebook::fit(&sample()?, dim, vocabulary, seed)?;
            let offset = |row: &[f32]| -0.5 * row.iter().map(|c| c * c).sum::<f32>();
            let bias: Vec<f32> = centres.chunks_exact(dim).map(offset).collect();
            vec![
                ("target.bias", HostTensor::new([vocabulary], bias)),
                ("target.codebook", HostTensor::new([vocabulary, dim], centres)),
            ]
        }
    };
    Ok(tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect())
}

/// Patches `[N, P]`, equally many of each picture.
fn sample_patches(
    model: &ModelConfig,
    source: &Arc<dyn ImageSource>,
    normalization: &Normalization,
    seed: u64,
) -> Result<Vec<f32>> {
    let pictures = fixed_indices(source.len(), MAX_PICTURES, seed);
    let per_picture = (MAX_PATCHES / pictures.len()).clamp(1, model.num_patches());
    let geometry = Geometry::from(model);
    let dim = model.patch_dim();
    let mut rows = Vec::new();
    for (number, indices) in pictures.chunks(BATCH).enumerate() {
        let (batch, _) = fixed_batch(source, normalization, model.image_size, indices)?;
        for (i, image) in batch.images.chunks_exact(model.image_len()).enumerate() {
            let patches = geometry.patchify(image)?;
            let picture = (number * BATCH + i) as u64;
            let chosen = fixed_indices(model.num_patches(), per_picture, seed ^ picture);
            rows.extend(chosen.iter().flat_map(|&p| &patches[p as usize * dim..][..dim]));
        }
    }
    Ok(rows)
}
