//! What the encoder makes of whole pictures, which are never masked: one feature each.

use super::block::norm;
use super::classifier::{Pool, no_cls_token};
use super::drops::Drops;
use super::mae::encode_all;
use super::output::require_meaningful;
use super::store::ParamStore;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::ops::mean_pool;
use crate::program::{Device, Program, Recorder, Tensor};

/// A forward pass of the encoder for a fixed number of images.
pub struct Embedder {
    config: ModelConfig,
    program: Program,
}

impl Embedder {
    /// Records and builds it for `batch` images on the parameters of `store`. The mean of the patch
    /// tokens goes through `fc_norm` where the model has one.
    ///
    /// # Errors
    /// [`Error::Config`] if the model has no cls token to pool; [`Error::DoesNotFit`] or
    /// [`Error::Device`].
    pub fn new(
        device: &Device,
        config: &ModelConfig,
        batch: usize,
        store: &ParamStore,
        pool: Pool,
    ) -> Result<Self> {
        let cls = config.cls_tokens();
        if pool == Pool::Cls && cls == 0 {
            return Err(no_cls_token());
        }
        let program = Program::record(device, store.buffers(), |target| {
            let mut rec = Recorder::new(target, false);
            store.layout().declare(&mut rec, false);
            let [h, w] = config.image_size;
            let images = rec.external("images", [batch, config.channels, h, w]);
            let latent = encode_all(&mut rec, config, images, cls, Drops::default()).latent;
            let feature = feature(&mut rec, config, latent, pool);
            rec.keep(feature, "feature");
            rec
        })?;
        Ok(Self { config: config.clone(), program })
    }

    /// The features `[B, D]` of `images`, `C·H·W` normalised pixels each.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is another number of pixels, [`Error::Device`] if the device failed,
    /// [`Error::BadWeights`] if a feature is not finite.
    pub async fn run(&self, images: &[f32]) -> Result<Vec<f32>> {
        check_images(&self.program, &self.config, images)?;
        self.program.write("images", images);
        self.program.submit();
        let features: Vec<f32> = self.program.read("feature").await?;
        require_meaningful("features", &features)?;
        Ok(features)
    }
}

/// The feature `[B, D]` in `latent [B, T, D]`: the cls token, or the mean of the patch tokens, which goes
/// through `fc_norm` where the model has one.
pub(super) fn feature(
    rec: &mut Recorder,
    config: &ModelConfig,
    latent: Tensor,
    pool: Pool,
) -> Tensor {
    let cls = config.cls_tokens();
    let tokens = match pool {
        Pool::Cls => 0..1,
        Pool::Mean => cls..cls + config.num_patches(),
    };
    let pooled = mean_pool(rec, latent, tokens);
    if pool == Pool::Mean && rec.find_param("fc_norm.weight").is_some() {
        return norm(rec, "fc_norm", config.layer_norm_eps, pooled);
    }
    pooled
}

/// Checks that `images` fills the program's input.
pub(super) fn check_images(program: &Program, config: &ModelConfig, images: &[f32]) -> Result<()> {
    let expected = program.buffer("images").bytes() / 4;
    if images.len() as u64 == expected {
        return Ok(());
    }
    let count = expected / config.image_len() as u64;
    let problem = format!("{} values; {count} images have {expected}", images.len());
    Err(Error::argument("images", problem))
}
