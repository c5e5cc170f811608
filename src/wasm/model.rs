//! A loaded model.

use wasm_bindgen::prelude::wasm_bindgen;

use super::error::{JsResult, json, named, options};
use super::info::ModelInfo;
use super::picture::prepare;
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
    embedder: Option<(Pool, usize, Embedder)>,
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

#[wasm_bindgen]
impl Model {
    /// JSON of `ModelInfo`.
    #[wasm_bindgen(getter)]
    pub fn info(&self) -> String {
        json(&self.info)
    }

    /// An RGBA picture as the methods below take it, `[C, H, W]`: its centre, or all of it squeezed.
    ///
    /// # Errors
    /// `BadImage`, `InvalidOption` for channels that no picture has.
    pub fn prepare(
        &self,
        rgba: &[u8],
        width: usize,
        height: usize,
        stretch: bool,
    ) -> JsResult<Vec<f32>> {
        prepare(rgba, width, height, stretch, &self.info.config, &self.info.normalization)
    }

    /// Masks and reconstructs pictures `[B, C, H, W]`; `json` holds `ReconstructOptions`, `mask` and `noise` are
    /// for each of them, and `progress` is told of kernels that are compiled for it, here and below.
    ///
    /// # Errors
    /// `InvalidOption`, `BadWeights` without a decoder, `OutOfMemory`, `DeviceLost`.
    pub async fn reconstruct(
        &mut self,
        images: &[f32],
        json: &str,
        mask: Option<Vec<u8>>,
        noise: Option<Vec<f32>>,
        progress: &Progress,
    ) -> JsResult<Vec<Reconstruction>> {
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
        reconstructors
            .run(device, config, normalization, store, images, json, mask, noise, progress)
            .await
    }

    /// The features `[B, D]` of pictures `[B, C, H, W]`, which are not masked; `pool` is JSON of `cls`, `mean` or
    /// nothing, the model's own way.
    ///
    /// # Errors
    /// `InvalidOption`, `OutOfMemory`, `DeviceLost`.
    pub async fn embed(
        &mut self,
        images: &[f32],
        pool: &str,
        progress: &Progress,
    ) -> JsResult<Vec<f32>> {
        let config = &self.info.config;
        let default = if config.cls_tokens() > 0 { Pool::Cls } else { Pool::Mean };
        let pool = options::<Option<Pool>>(pool)?.unwrap_or(default);
        let batch = images.len() / config.image_len();
        let fits = |(kept, size, _): &(Pool, usize, _)| *kept == pool && *size == batch;
        let embedder = match self.embedder.take().filter(fits) {
            Some((_, _, embedder)) => embedder,
            None => Embedder::new(&self.device, config, batch, &self.store, pool)?,
        };
        let (_, _, embedder) = self.embedder.insert((pool, batch, embedder));
        self.device.compile(|done, total| progress.report(done, total)).await?;
        Ok(embedder.run(images).await?)
    }

    /// Softmax weights of encoder block `block` on a picture `[C, H, W]`, which is not masked.
    ///
    /// # Errors
    /// `InvalidOption`, `OutOfMemory`, `DeviceLost`.
    pub async fn attention(
        &mut self,
        image: &[f32],
        block: usize,
        progress: &Progress,
    ) -> JsResult<Attention> {
        let config = &self.info.config;
        let kept = self.attention_map.take().filter(|(kept, _)| *kept == block);
        let map = match kept {
            Some((_, map)) => map,
            None => AttentionMap::new(&self.device, config, &self.store, block)?,
        };
        let (_, map) = self.attention_map.insert((block, map));
        self.device.compile(|done, total| progress.report(done, total)).await?;
        let weights = map.run(image).await?;
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
