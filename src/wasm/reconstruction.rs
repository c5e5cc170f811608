//! Masked pictures and what the model makes of them, for a loaded model and for one in training.

use serde::Deserialize;
use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{JsResult, named, options};
use super::picture::to_rgba;
use super::progress::Progress;
use crate::config::{MaskStrategy, ModelConfig};
use crate::data::Normalization;
use crate::error::Result;
use crate::geometry::Geometry;
use crate::model::objective::MaskSource;
use crate::model::reconstruct::{Reconstructor, with_mask};
use crate::model::store::ParamStore;
use crate::ops::optimizer::Scalars;
use crate::program::Device;
use crate::report::views::View;

/// Programs for different numbers of hidden patches that are kept.
const KEPT: usize = 8;

/// What a masked picture became. Pictures are RGBA.
#[wasm_bindgen]
pub struct Reconstruction {
    size: [usize; 2],
    grid: [usize; 2],
    loss: f32,
    original: Vec<u8>,
    masked: Vec<u8>,
    prediction: Vec<u8>,
    reconstruction: Vec<u8>,
    mask: Vec<u8>,
    patch_error: Vec<f32>,
}

#[wasm_bindgen]
impl Reconstruction {
    /// Pixels per row.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.size[1]
    }

    /// Rows of pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.size[0]
    }

    /// Rows of patches.
    #[wasm_bindgen(getter)]
    pub fn rows(&self) -> usize {
        self.grid[0]
    }

    /// Patches per row.
    #[wasm_bindgen(getter)]
    pub fn columns(&self) -> usize {
        self.grid[1]
    }

    /// Mean error over hidden patches.
    #[wasm_bindgen(getter)]
    pub fn loss(&self) -> f32 {
        self.loss
    }

    /// What the model would see without a mask.
    pub fn original(&self) -> Vec<u8> {
        self.original.clone()
    }

    /// Visible patches on transparent ground.
    pub fn masked(&self) -> Vec<u8> {
        self.masked.clone()
    }

    /// The prediction of every patch. No loss trained those that were visible: they mean nothing.
    pub fn prediction(&self) -> Vec<u8> {
        self.prediction.clone()
    }

    /// The prediction of hidden patches, visible ones in between.
    pub fn reconstruction(&self) -> Vec<u8> {
        self.reconstruction.clone()
    }

    /// `[L]`, 1 where a patch was hidden.
    pub fn mask(&self) -> Vec<u8> {
        self.mask.clone()
    }

    /// `[L]`, mean squared error of each hidden patch.
    #[wasm_bindgen(js_name = patchError)]
    pub fn patch_error(&self) -> Vec<f32> {
        self.patch_error.clone()
    }
}

/// Options of a reconstruction.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Options {
    mask_ratio: Option<f64>,
    strategy: Option<MaskStrategy>,
    seed: u64,
    view: Option<ViewChoice>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ViewChoice {
    Raw,
    TrueStatistics,
    VisibleStatistics,
}

/// Programs by what they were recorded for, the latest used last.
#[derive(Default)]
pub(super) struct Reconstructors {
    kept: Vec<(ModelConfig, MaskSource, usize, Reconstructor)>,
}

impl Reconstructors {
    /// Masks and reconstructs pictures `[B, C, H, W]` with the parameters of `store`, each as it would be alone.
    /// Tells `progress` of kernels that are compiled for it.
    #[expect(clippy::too_many_arguments, reason = "the parts of two kinds of models")]
    pub async fn run(
        &mut self,
        device: &Device,
        config: &ModelConfig,
        normalization: &Normalization,
        store: &ParamStore,
        images: &[f32],
        json: &str,
        mask: Option<Vec<u8>>,
        noise: Option<Vec<f32>>,
        progress: &Progress,
    ) -> JsResult<Vec<Reconstruction>> {
        let chosen: Options = options(json)?;
        let mut config = config.clone();
        config.mask_ratio = chosen.mask_ratio.unwrap_or(config.mask_ratio);
        config.mask_strategy = chosen.strategy.unwrap_or(config.mask_strategy);
        config.validate()?;
        let noise = match mask {
            Some(mask) => {
                let hidden: Vec<bool> = mask.iter().map(|&patch| patch != 0).collect();
                let (masked, noise) = with_mask(&config, &hidden)?;
                config = masked;
                Some(noise)
            }
            None => noise,
        };
        if noise.as_ref().is_some_and(|noise| noise.iter().any(|value| !value.is_finite())) {
            return Err(named("InvalidOption", "The noise holds a value that is not finite."));
        }
        let batch = images.len() / config.image_len();
        let source = if noise.is_some() { MaskSource::Given } else { MaskSource::Generated };
        let reconstructor = self.find(device, &config, store, source, batch)?;
        device.compile(|done, total| progress.report(done, total)).await?;
        let noise = noise.unwrap_or_default().repeat(batch);
        let scalars = Scalars::seeded(chosen.seed);
        let results = reconstructor.run(images, scalars, &vec![0; batch], &noise).await?;
        results.iter().try_for_each(|result| result.require_meaningful())?;
        let view = match chosen.view {
            _ if !config.norm_pix_loss => View::Raw,
            Some(ViewChoice::Raw) => View::Raw,
            Some(ViewChoice::TrueStatistics) => View::TrueStatistics,
            Some(ViewChoice::VisibleStatistics) | None => View::VisibleStatistics,
        };
        let geometry = Geometry::from(&config);
        let pairs = images.chunks_exact(config.image_len()).zip(&results);
        let made = pairs.map(|(image, result)| -> Result<Reconstruction> {
            let patches = geometry.patchify(image)?;
            let predicted = view.pixels(&geometry, &result.predicted, &patches, &result.mask)?;
            let pasted = geometry.paste_visible(&predicted, &patches, &result.mask)?;
            let picture = |patches: &[f32]| -> Result<Vec<u8>> {
                Ok(to_rgba(&geometry.unpatchify(patches)?, &config, normalization))
            };
            let original = to_rgba(image, &config, normalization);
            Ok(Reconstruction {
                size: config.image_size,
                grid: config.grid(),
                loss: result.loss,
                masked: cut_out(&original, &config, &result.mask),
                original,
                prediction: picture(&predicted)?,
                reconstruction: picture(&pasted)?,
                mask: result.mask.iter().map(|&hidden| u8::from(hidden)).collect(),
                patch_error: result.patch_error.clone(),
            })
        });
        Ok(made.collect::<Result<_>>()?)
    }

    /// The program for `config`'s number of hidden patches, made if it is not kept.
    fn find(
        &mut self,
        device: &Device,
        config: &ModelConfig,
        store: &ParamStore,
        source: MaskSource,
        batch: usize,
    ) -> Result<&Reconstructor> {
        let fits = |(kept, masks, size, _): &(ModelConfig, MaskSource, usize, _)| {
            let drawn_alike =
                source == MaskSource::Given || kept.mask_strategy == config.mask_strategy;
            *masks == source
                && *size == batch
                && kept.len_keep() == config.len_keep()
                && drawn_alike
        };
        let entry = match self.kept.iter().position(fits) {
            Some(at) => self.kept.remove(at),
            None => {
                let made = Reconstructor::new(device, config, batch, store, source)?;
                (config.clone(), source, batch, made)
            }
        };
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push(entry);
        Ok(&self.kept.last().expect("just put there").3)
    }
}

/// RGBA `pixels` with hidden patches black and transparent: what is hidden is not in it.
fn cut_out(pixels: &[u8], config: &ModelConfig, mask: &[bool]) -> Vec<u8> {
    let [_, width] = config.image_size;
    let [patch_h, patch_w] = config.patch_size;
    let [_, grid_w] = config.grid();
    let keep = |(i, pixel): (usize, &[u8; 4])| {
        let (y, x) = (i / width, i % width);
        if mask[y / patch_h * grid_w + x / patch_w] { [0; 4] } else { *pixel }
    };
    pixels.as_chunks::<4>().0.iter().enumerate().flat_map(keep).collect()
}
