//! What the encoder makes of whole pictures, which are never masked: one feature each.

use super::block::norm;
use super::classifier::Pool;
use super::mae::encode_all;
use super::store::ParamStore;
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::ops::mean_pool;
use crate::program::{Program, Recorder};

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
        gpu: &Gpu,
        config: &ModelConfig,
        batch: usize,
        store: &ParamStore,
        pool: Pool,
    ) -> Result<Self> {
        let cls = config.cls_tokens();
        if pool == Pool::Cls && cls == 0 {
            return Err(Error::config("pool", "this model has no cls token; take the mean"));
        }
        let mut rec = Recorder::new(gpu.tier(), false);
        store.layout().declare(&mut rec, false);
        let [h, w] = config.image_size;
        let images = rec.external("images", [batch, config.channels, h, w]);
        let latent = encode_all(&mut rec, config, images).latent;
        let tokens = match pool {
            Pool::Cls => 0..1,
            Pool::Mean => cls..cls + config.num_patches(),
        };
        let mut feature = mean_pool(&mut rec, latent, tokens);
        if pool == Pool::Mean && rec.find_param("fc_norm.weight").is_some() {
            feature = norm(&mut rec, "fc_norm", config.layer_norm_eps, feature);
        }
        rec.keep(feature, "feature");
        let program = Program::build(gpu, &rec, store.buffers())?;
        Ok(Self { config: config.clone(), program })
    }

    /// The features `[B, D]` of `images`, `C·H·W` normalised pixels each.
    ///
    /// # Errors
    /// [`Error::Config`] if it is another number of pixels, [`Error::Device`] if the device failed.
    pub async fn run(&self, images: &[f32]) -> Result<Vec<f32>> {
        check_images(&self.program, &self.config, images)?;
        self.program.write("images", images);
        self.program.submit();
        self.program.read("feature").await
    }
}

/// Checks that `images` fills the program's input.
pub(super) fn check_images(program: &Program, config: &ModelConfig, images: &[f32]) -> Result<()> {
    let expected = program.buffer("images").bytes() / 4;
    if images.len() as u64 == expected {
        return Ok(());
    }
    let count = expected / config.image_len() as u64;
    let problem = format!("{} values; {count} images have {expected}", images.len());
    Err(Error::config("images", problem))
}
