//! A trained classifier, for the commands that use one.

use std::path::{Path, PathBuf};

use super::weights::{Origin, OverrideArgs, Weights};
use crate::cli::open::open_device;
use crate::cli::print::note;
use crate::config::{ModelConfig, Variant};
use crate::data::Normalization;
use crate::error::{Error, Result};
use crate::model::classifier::{ClassifierConfig, Head, HeadInfo, Pool, Trainable};
use crate::model::classify::Input;
use crate::model::predict::Predictor;
use crate::model::store::ParamStore;
use crate::program::DeviceOptions;
use crate::weights::{FileKind, Format, hugging_face};

/// Which classifier.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClassifierArgs {
    /// Run folder of linprobe, finetune or train, checkpoint, weights file (.safetensors, .pth) or Hugging
    /// Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// Images that go through the network at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// A classifier on a device.
pub(crate) struct OpenClassifier {
    /// The network.
    pub predictor: Predictor,
    /// Its model.
    pub config: ModelConfig,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Names of its classes, if they are known.
    pub class_names: Option<Vec<String>>,
}

impl ClassifierArgs {
    /// Reads the weights and brings the classifier to the device, for batches of at most `most` images;
    /// says what it found, unless `quiet`.
    ///
    /// # Errors
    /// Names the file or option, and the mend.
    pub(crate) fn open(
        &self,
        options: &DeviceOptions,
        most: usize,
        quiet: bool,
    ) -> Result<OpenClassifier> {
        let (weights, normalization, whose) =
            self.overrides.open_for(&self.weights, FileKind::Classifier, quiet)?;
        let head = head_of(&weights)?;
        let classes = weights.tensors["head.weight"].shape[0];
        let config = ClassifierConfig {
            model: weights.config.clone(),
            pool: head.pool,
            head: head.head,
            classes,
            trainable: Trainable::None,
            learned_positions: false,
            drop_path: 0.0,
        };
        let device = open_device(options)?;
        let store = ParamStore::holding(&device, config.params(), &weights.tensors)?;
        let batch = (self.batch_size as usize).min(most.max(1));
        let predictor = Predictor::new(&device, &config, Input::Images, batch, &store)?;
        note(quiet, || {
            let (file, adapter) = (weights.file.display(), device.summary().name);
            format!("{file} on {adapter}, {classes} classes, pixels normalised with {whose}")
        });
        let class_names = (head.class_names.len() == classes).then_some(head.class_names);
        Ok(OpenClassifier { predictor, config: weights.config, normalization, class_names })
    }
}

impl OpenClassifier {
    /// The name of a class, or its number.
    pub(crate) fn class_name(&self, class: usize) -> String {
        match &self.class_names {
            Some(names) => names[class].clone(),
            None => format!("class {class}"),
        }
    }
}

/// The head as the weights say, or as their code base has it.
fn head_of(weights: &Weights) -> Result<HeadInfo> {
    if let Some(head) = &weights.head {
        return Ok(head.clone());
    }
    let pools =
        weights.config.variant == Variant::Paper && weights.tensors.contains_key("fc_norm.weight");
    let class_names = match weights.origin {
        Origin::File(Format::HuggingFaceVit) => {
            let folder =
                if weights.file.is_dir() { Some(&*weights.file) } else { weights.file.parent() };
            hugging_face_names(&folder.unwrap_or(Path::new(".")).join(hugging_face::CONFIG))?
        }
        _ => Vec::new(),
    };
    let pool = if pools { Pool::Mean } else { Pool::Cls };
    Ok(HeadInfo { pool, head: Head::Full, class_names })
}

/// The classes in `id2label` of a Hugging Face configuration; none if it has none.
fn hugging_face_names(path: &Path) -> Result<Vec<String>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let json: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::bad_file(path, e.to_string()))?;
    let labels = &json["id2label"];
    let names = (0..).map_while(|id: usize| labels[id.to_string()].as_str().map(str::to_owned));
    Ok(names.collect())
}
