//! A loaded model.

use serde::Deserialize;
use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{JsResult, json, named, options};
use super::info::ModelInfo;
use super::picture::{Fit, from_rgba};
use super::progress::Progress;
use super::reconstruction::{Reconstruction, Reconstructors};
use crate::model::attention_map::AttentionMap;
use crate::model::classifier::Pool;
use crate::model::features::Embedder;
use crate::model::store::ParamStore;
use crate::program::Device;

/// Parameters on the device, and the programs that were asked for so far.
#[wasm_bindgen]
pub struct Model {
    device: Device,
    store: ParamStore,
    info: ModelInfo,
    reconstructors: Reconstructors,
    embedder: Option<(Pool, Embedder)>,
    attention_map: Option<(usize, AttentionMap)>,
}

impl Model {
    pub(super) fn new(device: Device, store: ParamStore, info: ModelInfo) -> Self {
        Self {
            device,
            store,
            info,
            reconstructors: Reconstructors::default(),
            embedder: None,
            attention_map: None,
        }
    }
}

/// Options of an embedding.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct EmbedOptions {
    pool: Option<Pool>,
    fit: Fit,
}

#[wasm_bindgen]
impl Model {
    /// JSON of `ModelInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        json(&self.info)
    }

    /// Masks and reconstructs an RGBA picture; `json` holds `ReconstructOptions`, and `progress` is told of
    /// kernels that are compiled for it, here and below.
    ///
    /// # Errors
    /// `InvalidOption`, `BadImage`, `BadWeights` without a decoder, `OutOfMemory`, `DeviceLost`.
    #[expect(clippy::too_many_arguments, reason = "a picture, its mask, and how it goes")]
    pub async fn reconstruct(
        &mut self,
        rgba: &[u8],
        width: usize,
        height: usize,
        json: &str,
        mask: Option<Vec<u8>>,
        noise: Option<Vec<f32>>,
        progress: &Progress,
    ) -> JsResult<Reconstruction> {
        if !self.info.reconstructs {
            let message = format!(
                "The file holds {}, and a reconstruction needs a decoder as well: take the whole \
                 pre-training checkpoint.",
                self.info.weights.description
            );
            return Err(named("BadWeights", &message));
        }
        let Self { device, store, info, reconstructors, .. } = self;
        let (config, normalization) = (&info.config, &info.normalization);
        let picture = (rgba, width, height);
        reconstructors
            .run(device, config, normalization, store, picture, json, mask, noise, progress)
            .await
    }

    /// The feature `[D]` of an RGBA picture, which is not masked; `json` holds `EmbedOptions`.
    ///
    /// # Errors
    /// `InvalidOption`, `BadImage`, `OutOfMemory`, `DeviceLost`.
    pub async fn embed(
        &mut self,
        rgba: &[u8],
        width: usize,
        height: usize,
        json: &str,
        progress: &Progress,
    ) -> JsResult<Vec<f32>> {
        let EmbedOptions { pool, fit } = options(json)?;
        let config = &self.info.config;
        let default = if config.cls_tokens() > 0 { Pool::Cls } else { Pool::Mean };
        let pool = pool.unwrap_or(default);
        let picture = from_rgba(rgba, width, height, config.channels)?.into();
        let image = self.info.normalization.still(&picture, &fit.augment(), config.image_size)?;
        let kept = self.embedder.take().filter(|(kept, _)| *kept == pool);
        let embedder = match kept {
            Some((_, embedder)) => embedder,
            None => Embedder::new(&self.device, config, 1, &self.store, pool)?,
        };
        let (_, embedder) = self.embedder.insert((pool, embedder));
        self.device.compile(|done, total| progress.report(done, total)).await?;
        Ok(embedder.run(&image).await?)
    }

    /// Softmax weights of encoder block `block` on an RGBA picture, which is not masked.
    ///
    /// # Errors
    /// `InvalidOption`, `BadImage`, `OutOfMemory`, `DeviceLost`.
    pub async fn attention(
        &mut self,
        rgba: &[u8],
        width: usize,
        height: usize,
        block: usize,
        fit: &str,
        progress: &Progress,
    ) -> JsResult<Attention> {
        let fit: Fit = options(&json(&fit))?;
        let config = &self.info.config;
        let picture = from_rgba(rgba, width, height, config.channels)?.into();
        let image = self.info.normalization.still(&picture, &fit.augment(), config.image_size)?;
        let kept = self.attention_map.take().filter(|(kept, _)| *kept == block);
        let map = match kept {
            Some((_, map)) => map,
            None => AttentionMap::new(&self.device, config, &self.store, block)?,
        };
        let (_, map) = self.attention_map.insert((block, map));
        self.device.compile(|done, total| progress.report(done, total)).await?;
        let weights = map.run(&image).await?;
        let cls_tokens = config.cls_tokens();
        Ok(Attention {
            heads: config.encoder.heads,
            tokens: cls_tokens + config.num_patches(),
            cls_tokens,
            grid: config.grid(),
            weights,
        })
    }
}

/// Where one block looks.
#[wasm_bindgen]
pub struct Attention {
    heads: usize,
    tokens: usize,
    cls_tokens: usize,
    grid: [usize; 2],
    weights: Vec<f32>,
}

#[wasm_bindgen]
impl Attention {
    /// Number of heads.
    #[wasm_bindgen(getter)]
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Number of tokens.
    #[wasm_bindgen(getter)]
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// 1 where a cls token leads.
    #[wasm_bindgen(getter, js_name = clsTokens)]
    pub fn cls_tokens(&self) -> usize {
        self.cls_tokens
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

    /// `[heads, tokens, tokens]`.
    pub fn weights(&self) -> Vec<f32> {
        self.weights.clone()
    }
}
