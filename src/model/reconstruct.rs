//! What the model makes of images: masks drawn or given, predictions in patch order, errors.

use super::objective::{MaskSource, Purpose, masked_objective, predicted_pixels};
use super::output::require_meaningful;
use super::store::ParamStore;
use crate::config::{ModelConfig, PatchTarget};
use crate::error::{Error, Result};
use crate::geometry::Geometry;
use crate::kernels::KernelTarget;
use crate::ops::optimizer::Scalars;
use crate::program::{Device, Program, Recorder};
use crate::tensor::not_finite;

/// One image's reconstruction.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconstruction {
    /// Patches `[L, P]` in order, pixels (row, column, channel), as the network gives them: pixels
    /// of the normalised image, or of normalised patches with `norm_pix_loss`. A decoder that
    /// predicts hidden patches only has the image's own in the visible places.
    pub predicted: Vec<f32>,
    /// `[L]`, `true` where a patch was hidden.
    pub mask: Vec<bool>,
    /// Mean error over hidden patches, as in training; 0 if none was hidden.
    pub loss: f32,
    /// Error of each patch `[L]` against its target, as in training; 0 where it was visible.
    pub patch_error: Vec<f32>,
}

impl Reconstruction {
    /// Whether all that was predicted is finite, and so is its error.
    pub fn is_meaningful(&self) -> bool {
        self.loss.is_finite() && not_finite(&self.predicted).is_none()
    }

    /// Checks that there is a picture to show. The loss alone does not tell: a visible patch has none.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if a predicted value is not finite.
    pub fn require_meaningful(&self) -> Result<()> {
        require_meaningful("predictions", &self.predicted)
    }
}

/// A forward pass for a fixed number of images that keeps what it predicts.
pub struct Reconstructor {
    config: ModelConfig,
    batch: usize,
    masks: MaskSource,
    program: Program,
}

impl Reconstructor {
    /// Records and builds it for up to `batch` images on the parameters of `store`.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model predicts given tokens, not pixels; [`Error::DoesNotFit`] or
    /// [`Error::Device`].
    pub fn new(
        device: &Device,
        config: &ModelConfig,
        batch: usize,
        store: &ParamStore,
        masks: MaskSource,
    ) -> Result<Self> {
        check_target(config)?;
        let program = Program::record(device, store.buffers(), |target| {
            record(target, config, batch, store, masks)
        })?;
        Ok(Self { config: config.clone(), batch, masks, program })
    }

    /// Declares the kernels of one for a single image, so that they can be compiled before it is built.
    ///
    /// # Errors
    /// [`Error::Argument`] if the model predicts given tokens, not pixels.
    pub fn declare(
        device: &Device,
        config: &ModelConfig,
        store: &ParamStore,
        masks: MaskSource,
    ) -> Result<()> {
        check_target(config)?;
        device.declare(&record(device.target(), config, 1, store, masks));
        Ok(())
    }

    /// Reconstructs `images`, `C·H·W` normalised pixels each. Masks are drawn from the seed and epoch in
    /// `scalars` and each image's number in `sample_ids`, or are those of `noise`, `L` values an image; the
    /// others are not used.
    ///
    /// # Errors
    /// [`Error::Argument`] if a slice's length does not fit, [`Error::Device`] if the device failed.
    pub async fn run(
        &self,
        images: &[f32],
        scalars: Scalars,
        sample_ids: &[u32],
        noise: &[f32],
    ) -> Result<Vec<Reconstruction>> {
        let count = self.count(images.len())?;
        self.program.write("images", images);
        match self.masks {
            MaskSource::Given => {
                fits("noise", noise.len(), count * self.config.num_patches())?;
                self.program.write("noise", noise);
            }
            MaskSource::Generated => {
                fits("sample ids", sample_ids.len(), count)?;
                self.program.write("step", &[scalars]);
                self.program.write("sample_ids", sample_ids);
            }
        }
        self.program.submit();
        let restore: Vec<u32> = self.program.read("ids_restore").await?;
        let pred: Vec<f32> = self.program.read("pred").await?;
        let errors: Vec<f32> = self.program.read("patch_loss").await?;
        let (patches, tokens) = (self.config.num_patches(), self.config.decoder_tokens());
        images
            .chunks_exact(self.config.image_len())
            .zip(restore.chunks_exact(patches))
            .zip(pred.chunks_exact(tokens * self.config.patch_dim()))
            .zip(errors.chunks_exact(tokens))
            .map(|(((image, restore), pred), errors)| self.collect(image, restore, pred, errors))
            .collect()
    }

    /// Number of images in `values` values.
    fn count(&self, values: usize) -> Result<usize> {
        let count = values / self.config.image_len();
        if !values.is_multiple_of(self.config.image_len()) || !(1..=self.batch).contains(&count) {
            let problem = format!(
                "{values} values; 1 to {} images of {} values are expected",
                self.batch,
                self.config.image_len()
            );
            return Err(Error::argument("images", problem));
        }
        Ok(count)
    }

    /// Puts one image's tokens into patch order.
    fn collect(
        &self,
        image: &[f32],
        restore: &[u32],
        pred: &[f32],
        errors: &[f32],
    ) -> Result<Reconstruction> {
        let config = &self.config;
        let dim = config.patch_dim();
        let mask: Vec<bool> = restore.iter().map(|&rank| config.is_masked(rank)).collect();
        let unshuffled = config.variant.unshuffles();
        let token = |patch: usize| match unshuffled {
            true => config.cls_tokens() + patch,
            // Mask tokens lead, in the order of their ranks.
            false => restore[patch] as usize,
        };
        let geometry = Geometry::from(config);
        let mut predicted = if unshuffled {
            vec![0.0; mask.len() * dim]
        } else {
            let own = geometry.patchify(image)?;
            if config.norm_pix_loss { geometry.normalise(&own)? } else { own }
        };
        let mut patch_error = vec![0.0; mask.len()];
        for (patch, &hidden) in mask.iter().enumerate() {
            if hidden {
                patch_error[patch] = errors[token(patch)];
            }
            if hidden || unshuffled {
                predicted[patch * dim..][..dim].copy_from_slice(&pred[token(patch) * dim..][..dim]);
            }
        }
        let sum: f64 = patch_error.iter().map(|&error| f64::from(error)).sum();
        let loss = (sum / config.num_masked().max(1) as f64) as f32;
        Ok(Reconstruction { predicted, mask, loss, patch_error })
    }
}

fn record(
    target: KernelTarget,
    config: &ModelConfig,
    batch: usize,
    store: &ParamStore,
    masks: MaskSource,
) -> Recorder {
    let mut rec = Recorder::new(target, false);
    store.layout().declare(&mut rec, false);
    let objective = masked_objective(&mut rec, config, batch, masks, Purpose::Evaluation);
    rec.clear_first(objective.loss);
    rec.keep(objective.encoded.ids.restore, "ids_restore");
    let pred = predicted_pixels(&mut rec, config, objective.decoded.pred);
    rec.keep(pred, "pred");
    rec.keep(objective.patch_loss, "patch_loss");
    rec
}

/// Checks that a model predicts what can be shown.
fn check_target(config: &ModelConfig) -> Result<()> {
    match config.target {
        PatchTarget::Tokens { .. } => {
            let problem = "it predicts tokens of another model, which have no pixels to show";
            Err(Error::argument("model", problem))
        }
        _ => Ok(()),
    }
}

/// `config` with the ratio that hides as many patches as `mask` does, and the noise `[L]` that
/// makes the network hide exactly those.
///
/// # Errors
/// [`Error::Argument`] if the mask has not one entry per patch, or hides all of them.
pub fn with_mask(config: &ModelConfig, mask: &[bool]) -> Result<(ModelConfig, Vec<f32>)> {
    fits("mask", mask.len(), config.num_patches())?;
    let hidden = mask.iter().filter(|&&hidden| hidden).count();
    if hidden == mask.len() {
        let problem = format!("hides all {hidden} patches; at least one must stay visible");
        return Err(Error::argument("mask", problem));
    }
    // Half a patch off, so that the truncation of either variant's reference code ends at `hidden`.
    let smallest = config.variant.masks_smallest();
    let shifted = if smallest { hidden as f64 + 0.5 } else { (hidden as f64 - 0.5).max(0.0) };
    let mask_ratio = shifted / mask.len() as f64;
    let noise = mask.iter().map(|&hidden| f32::from(u8::from(hidden != smallest))).collect();
    Ok((ModelConfig { mask_ratio, ..config.clone() }, noise))
}

fn fits(what: &str, found: usize, expected: usize) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    Err(Error::argument(what, format!("{found} values; {expected} are expected")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Variant;

    #[test]
    fn a_given_mask_hides_exactly_its_patches() {
        let mut config = ModelConfig::preset("tiny").unwrap();
        for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
            config.variant = variant;
            for hidden in 0..64 {
                let mask: Vec<bool> = (0..64).map(|i| (i * 37) % 64 < hidden).collect();
                let (masked, noise) = with_mask(&config, &mask).unwrap();
                masked.validate().unwrap();
                assert_eq!(masked.num_masked(), hidden, "{variant:?}");
                let mut order: Vec<usize> = (0..64).collect();
                order.sort_by(|&a, &b| noise[a].total_cmp(&noise[b]));
                let chosen = match variant.masks_smallest() {
                    true => &order[..hidden],
                    false => &order[64 - hidden..],
                };
                assert!(chosen.iter().all(|&patch| mask[patch]), "{variant:?} {hidden}");
            }
        }
        assert!(with_mask(&config, &[true; 64]).is_err());
        assert!(with_mask(&config, &[false; 63]).is_err());
    }
}
