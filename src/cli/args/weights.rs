//! `--weights`: one way to name trained weights, whatever they are.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::model::{parse_size, size};
use crate::cli::print::note;
use crate::cli::wording::message;
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::model::classifier::HeadInfo;
use crate::setting::Setting;
use crate::tensor::TensorMap;
use crate::train::checkpoint::Meta;
use crate::train::checkpoints;
use crate::train::recipe::Classify;
use crate::weights::{
    FileKind, Format, OpenedWeights, Overrides, Sets, hugging_face, open_set, resize_model,
    stored_head,
};

/// What a weights file may leave open.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    next_help_heading = "Where the weights do not say (checkpoints of webmae say everything)"
)]
pub(crate) struct OverrideArgs {
    /// The encoder's attention heads
    #[arg(long, value_name = "N", value_parser = size())]
    heads: Option<u32>,
    /// The decoder's attention heads
    #[arg(long, value_name = "N", value_parser = size())]
    decoder_heads: Option<u32>,
    /// Image size in pixels; where it is not the weights' own, their position embeddings are resized
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    image_size: Option<[usize; 2]>,
    /// Patch size in pixels
    #[arg(long, value_name = "N|HxW", value_parser = parse_size)]
    patch_size: Option<[usize; 2]>,
    /// Channels of the image
    #[arg(long, value_name = "N", value_parser = size())]
    channels: Option<u32>,
    /// Which of a checkpoint's sets of weights to take. Of webmae's own: ema, the moving average that a run with --ema
    /// keeps, or param, the weights themselves [default: ema where it is there]; of PyTorch's e.g. model_ema, or a.b for
    /// b in a [default: model, state_dict and such, then their moving average]
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,
    /// The model predicts pixels normalised by each patch's mean and variance
    #[arg(long)]
    norm_pix_loss: bool,
    /// Mean of each channel, for pixels in 0..1 [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel [default: ImageNet's]
    #[arg(long, value_name = "R,G,B", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
}

/// Trained weights with all that is known of them.
pub(crate) struct Weights {
    /// The file that was read.
    pub file: PathBuf,
    /// Whose names it has, or that it is a checkpoint.
    pub origin: Origin,
    /// The model.
    pub config: ModelConfig,
    /// Parameters under internal names.
    pub tensors: TensorMap,
    /// The parts that it holds.
    pub kind: FileKind,
    /// Tensors in the file that the model has no use for.
    pub ignored: Vec<String>,
    /// Mean and deviation of its pixels, if it or its folder names them.
    pub normalization: Option<Normalization>,
    /// Newer checkpoints of the run that could not be read.
    pub broken: Vec<Error>,
    /// What the head of a classifier of this crate is, and its classes.
    pub head: Option<HeadInfo>,
    /// Which of the file's sets of weights these are.
    pub sets: Sets,
    /// The moving average that the checkpoint's run keeps, in words.
    average: Option<String>,
}

/// Where weights come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Origin {
    /// A training run's checkpoint.
    Checkpoint {
        /// Steps done.
        step: u64,
    },
    /// A file of weights alone.
    File(Format),
}

impl OverrideArgs {
    /// Opens `path`: a run folder (its newest readable checkpoint), a checkpoint, a weights file,
    /// or a Hugging Face folder.
    ///
    /// # Errors
    /// Names the file, what is wrong with it, and what would be accepted.
    pub(crate) fn open(&self, path: &Path) -> Result<Weights> {
        if !path.exists() {
            let problem = "does not exist; give a run folder, a checkpoint, a weights file \
                           (.safetensors, .pth, .pt, .ckpt, .bin) or a Hugging Face folder";
            return Err(Error::bad_file(path, problem));
        }
        let mut weights = if checkpoints::folder_of(path).is_dir() {
            let (_, weights, broken) = checkpoints::newest(path, |file| self.checkpoint(file))?;
            Weights { broken, ..weights? }
        } else if path.is_dir()
            && !hugging_face::WEIGHTS.iter().any(|name| path.join(name).is_file())
        {
            let problem = format!(
                "is neither a run folder (no checkpoints/ in it) nor a Hugging Face folder (no {})",
                hugging_face::WEIGHTS.join(" or "),
            );
            return Err(Error::bad_file(path, problem));
        } else {
            self.weights_file(path)?
        };
        if let Some(image_size) = self.image_size {
            weights.resize(image_size)?;
        }
        if let (Some(mean), Some(std)) = (&self.mean, &self.std) {
            weights.normalization = Some(Normalization::new(mean.clone(), std.clone())?);
        }
        if let Some(normalization) = &weights.normalization {
            normalization.validate(weights.config.channels)?;
        }
        Ok(weights)
    }

    /// [`Self::open`] of weights that hold what is `needed`, with the mean and deviation to use and where
    /// they come from. Names newer checkpoints that cannot be read, unless `quiet`.
    ///
    /// # Errors
    /// Names the file, what it lacks, and what would be accepted.
    pub(crate) fn open_for(
        &self,
        path: &Path,
        needed: FileKind,
        quiet: bool,
    ) -> Result<(Weights, Normalization, &'static str)> {
        let weights = self.open(path)?;
        weights.kind.require(needed).map_err(|e| e.in_file(&weights.file))?;
        for error in &weights.broken {
            note(quiet, || format!("skipped a newer checkpoint: {}", message(error)));
        }
        if let Some(choice) = weights.set_choice() {
            note(quiet, || choice);
        }
        let (normalization, whose) = weights.normalization()?;
        Ok((weights, normalization, whose))
    }

    /// A checkpoint of a run; inside, the error of one that can be read but not with these options: earlier ones would
    /// be no better.
    fn checkpoint(&self, path: &Path) -> Result<Result<Weights>> {
        match self.weights_file(path) {
            Err(error) if Self::default().weights_file(path).is_ok() => Ok(Err(error)),
            opened => opened.map(Ok),
        }
    }

    /// Checks that a file's model, which the options had their part in if the file does not say it all, is as the
    /// options have it.
    ///
    /// # Errors
    /// [`Error::Config`] names the option, the file, and what the file says.
    fn require_agreement(given: &Overrides, opened: &OpenedWeights) -> Result<()> {
        let model = &opened.config;
        let differs = |setting: Setting, given: String, said: String| match given == said {
            true => Ok(()),
            false => {
                let problem = format!("the weights say {said}, not {given}; leave it out");
                Err(Error::config(setting, problem))
            }
        };
        let number = |setting, given: Option<usize>, said: usize| {
            given.map_or(Ok(()), |given| differs(setting, given.to_string(), said.to_string()))
        };
        number(Setting::EncoderHeads, given.encoder_heads, model.encoder.heads)?;
        number(Setting::DecoderHeads, given.decoder_heads, model.decoder.heads)?;
        number(Setting::Channels, given.channels, model.channels)?;
        let size = |[height, width]: [usize; 2]| format!("{height}×{width}");
        if let Some(patch_size) = given.patch_size {
            differs(Setting::PatchSize, size(patch_size), size(model.patch_size))?;
        }
        // Published configurations of Hugging Face leave it at the default, whatever the training was.
        if given.norm_pix_loss == Some(true)
            && !model.norm_pix_loss
            && !is_hugging_face(opened.format)
        {
            let said = "pixels that are not normalised".to_owned();
            differs(Setting::NormPixLoss, "normalised ones".to_owned(), said)?;
        }
        Ok(())
    }

    fn weights_file(&self, path: &Path) -> Result<Weights> {
        let number = |value: Option<u32>| value.map(|n| n as usize);
        let overrides = Overrides {
            encoder_heads: number(self.heads),
            decoder_heads: number(self.decoder_heads),
            image_size: self.image_size,
            patch_size: self.patch_size,
            channels: number(self.channels),
            norm_pix_loss: self.norm_pix_loss.then_some(true),
            ..Overrides::default()
        };
        // A file's own size is mostly known; what is asked for may be another one.
        let own_size = Overrides { image_size: None, ..overrides.clone() };
        let key = self.weights_key.as_deref();
        let opened = match open_set(path, &own_size, key) {
            Err(_) if self.image_size.is_some() => open_set(path, &overrides, key)?,
            opened => opened?,
        };
        Self::require_agreement(&overrides, &opened).map_err(|e| e.in_file(path))?;
        let mut config = opened.config;
        config.norm_pix_loss |= self.norm_pix_loss;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
        let normalization = match opened.normalization {
            Some(normalization) => Some(normalization),
            None if is_hugging_face(opened.format) => {
                preprocessor(&folder.join(hugging_face::PREPROCESSOR))?
            }
            None => None,
        };
        let meta = Meta::read(&opened.metadata).map_err(|e| e.in_file(path))?;
        let recipe = meta.map(|meta| meta.recipe);
        let head = match &recipe {
            Some(recipe) => recipe.classify.as_ref().map(Classify::head_info),
            None => stored_head(&opened.metadata).map_err(|e| e.in_file(path))?,
        };
        let origin = match opened.step {
            Some(step) => Origin::Checkpoint { step },
            None => Origin::File(opened.format),
        };
        Ok(Weights {
            file: path.to_owned(),
            origin,
            config,
            tensors: opened.weights.tensors,
            kind: opened.weights.kind,
            ignored: opened.weights.ignored,
            normalization,
            broken: Vec::new(),
            head,
            sets: opened.sets,
            average: recipe.and_then(|recipe| recipe.average_in_words()),
        })
    }
}

impl Weights {
    /// Makes the model one for other images: the position embeddings of encoder and decoder are resized.
    ///
    /// # Errors
    /// [`Error::Config`] if the size is no multiple of the patch size.
    fn resize(&mut self, image_size: [usize; 2]) -> Result<()> {
        let resized = ModelConfig { image_size, ..self.config.clone() };
        resized.validate()?;
        resize_model(&mut self.tensors, &self.config, &resized);
        self.config = resized;
        Ok(())
    }

    /// Which of a file's sets of weights was taken, where there are several.
    pub(crate) fn set_choice(&self) -> Option<String> {
        let Sets { chosen, others } = &self.sets;
        let first_other = others.first()?;
        Some(match (&self.average, &**chosen) {
            (Some(average), "ema") => {
                format!("{average} is taken (--weights-key {first_other} takes the weights)")
            }
            (Some(average), _) => {
                format!("the weights are taken (--weights-key {first_other} takes {average})")
            }
            (None, _) => {
                // Of weights that lie flat beside another set.
                let shown = |key: &str| if key.is_empty() { "(no key)" } else { key }.to_owned();
                let all: Vec<String> =
                    std::iter::once(chosen).chain(others).map(|key| shown(key)).collect();
                let (all, chosen) = (all.join(", "), shown(chosen));
                format!("the file holds {all}: {chosen} is taken (--weights-key takes another)")
            }
        })
    }

    /// What was taken, for `--json`: the set of weights, those beside it, and newer checkpoints that could not be read.
    pub(crate) fn taken(&self) -> Map<String, Value> {
        let skipped: Vec<String> = self.broken.iter().map(message).collect();
        Map::from_iter([
            ("weights_key".to_owned(), json!(self.sets.chosen)),
            ("other_weights_keys".to_owned(), json!(self.sets.others)),
            ("skipped_checkpoints".to_owned(), json!(skipped)),
        ])
    }

    /// Checks that there are an encoder and a decoder.
    ///
    /// # Errors
    /// [`Error::BadFile`] says what the file holds and which kind is needed.
    pub(crate) fn require_decoder(&self) -> Result<()> {
        self.kind.require(FileKind::Mae).map_err(|e| e.in_file(&self.file))
    }

    /// Mean and deviation to use, and where they come from.
    ///
    /// # Errors
    /// [`Error::Argument`] if none are known for this number of channels.
    pub(crate) fn normalization(&self) -> Result<(Normalization, &'static str)> {
        match &self.normalization {
            Some(normalization) => Ok((normalization.clone(), "the weights' own")),
            None if self.config.channels == 3 => {
                Ok((Normalization::imagenet(), "ImageNet's: the weights name none"))
            }
            None => {
                let problem = format!(
                    "the weights name none for their {} channels; give --mean and --std",
                    self.config.channels
                );
                Err(Error::argument("--mean, --std", problem))
            }
        }
    }
}

fn is_hugging_face(format: Format) -> bool {
    matches!(format, Format::HuggingFaceMae | Format::HuggingFaceVit)
}

/// Mean and deviation of a Hugging Face image processor's file, if it is there and has them.
fn preprocessor(path: &Path) -> Result<Option<Normalization>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let json: Value =
        serde_json::from_str(&text).map_err(|e| Error::bad_file(path, e.to_string()))?;
    let list = |name: &str| -> Option<Vec<f32>> {
        let values = json[name].as_array()?;
        values.iter().map(|value| value.as_f64().map(|v| v as f32)).collect()
    };
    match (list("image_mean"), list("image_std")) {
        (Some(mean), Some(std)) => Normalization::new(mean, std).map(Some),
        _ => Ok(None),
    }
}
