//! A model as a folder that `transformers` loads with `ViTMAEForPreTraining.from_pretrained`. [`super::open()`] reads
//! such folders.

use std::path::Path;

use serde_json::json;

use super::hf_config::{HfConfig, decimal};
use super::names::{Format, Missing, to_hugging_face, to_internal};
use crate::config::ModelConfig;
use crate::error::{Error, Result};
use crate::files::atomic_write;
use crate::files::safetensors::{self, FloatType};
use crate::model::init::init_params;
use crate::model::params::{Init, ParamSpec, mae_params};
use crate::tensor::TensorMap;

/// The weights' file name, and the one from before safetensors.
pub const WEIGHTS: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
/// The configuration's file name.
pub const CONFIG: &str = "config.json";
/// The image processor's file name.
pub const PREPROCESSOR: &str = "preprocessor_config.json";

/// Writes `model.safetensors`, `config.json` and `preprocessor_config.json` into `folder`, which is
/// made if it does not exist. `tensors` are internal ones; fixed positions are computed where
/// absent, learned ones written as they are, though `transformers` would not train them. `mean` and `std` normalise
/// pixels in [0, 1], one value per channel.
///
/// # Errors
/// [`Error::Argument`] for a model that `ViTMAEForPreTraining` cannot express (only the paper variant
/// with square images and patches can be), [`Error::BadWeights`] when tensors are missing or of
/// another shape, [`Error::Io`] when the folder cannot be written.
pub fn write(
    folder: impl AsRef<Path>,
    config: &ModelConfig,
    tensors: &TensorMap,
    mean: &[f32],
    std: &[f32],
    precision: FloatType,
) -> Result<()> {
    let folder = folder.as_ref();
    let hf_config = HfConfig::for_model(config)?;
    if mean.len() != config.channels || std.len() != config.channels {
        let problem = format!(
            "{} means and {} standard deviations for {} channels; one of each per channel",
            mean.len(),
            std.len(),
            config.channels,
        );
        return Err(Error::argument("pixel mean and std", problem));
    }
    let mut tensors = tensors.clone();
    let fixed = |param: &ParamSpec| matches!(param.init, Init::SinCos { .. });
    let tables: Vec<ParamSpec> = mae_params(config).into_iter().filter(fixed).collect();
    for (name, table) in init_params(&tables, config.grid(), 0) {
        tensors.entry(name).or_insert(table);
    }
    to_internal(Format::Webmae, config, &tensors, Missing::Refused)?
        .kind
        .require(super::FileKind::Mae)?;
    let foreign = to_hugging_face(config, &tensors)?;
    let bytes = safetensors::to_bytes(&foreign, &safetensors::python_metadata(), precision)?;
    // What is refused leaves no folder behind.
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    atomic_write(folder.join(WEIGHTS[0]), |file| file.write_all(&bytes))?;
    write_json(&folder.join(CONFIG), &hf_config)?;
    write_json(&folder.join(PREPROCESSOR), &preprocessor(config, mean, std))
}

/// The model that a folder's `config.json` describes.
///
/// # Errors
/// [`Error::Io`] when it cannot be read, [`Error::BadFile`] when it describes another model.
pub fn read_config(folder: impl AsRef<Path>) -> Result<ModelConfig> {
    let path = folder.as_ref().join(CONFIG);
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    HfConfig::parse(&text).and_then(|c| c.to_model()).map_err(|e| e.in_file(&path))
}

/// The settings of `ViTImageProcessor`: a bicubic resize to the model's size, pixels over 255, mean
/// and standard deviation.
fn preprocessor(config: &ModelConfig, mean: &[f32], std: &[f32]) -> serde_json::Value {
    const BICUBIC: u8 = 3;
    let decimals = |values: &[f32]| values.iter().copied().map(decimal).collect::<Vec<f64>>();
    json!({
        "image_processor_type": "ViTImageProcessor",
        "do_resize": true,
        "size": { "height": config.image_size[0], "width": config.image_size[1] },
        "resample": BICUBIC,
        "do_rescale": true,
        "rescale_factor": 1.0 / 255.0,
        "do_normalize": true,
        "image_mean": decimals(mean),
        "image_std": decimals(std),
    })
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    atomic_write(path, |w| {
        serde_json::to_writer_pretty(&mut *w, value)?;
        w.write_all(b"\n")
    })
}
