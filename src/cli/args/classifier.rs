//! A trained classifier, for the commands that use one.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::head::{KnownHead, PoolArg};
use super::weights::OverrideArgs;
use crate::cli::open::open_device;
use crate::cli::print::note;
use crate::config::ModelConfig;
use crate::data::Normalization;
use crate::error::Result;
use crate::model::classifier::{ClassifierConfig, Trainable};
use crate::model::classify::Input;
use crate::model::predict::Predictor;
use crate::model::store::ParamStore;
use crate::program::DeviceOptions;
use crate::weights::FileKind;

/// Which classifier.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ClassifierArgs {
    /// Run folder of linprobe, finetune or train, checkpoint, weights file (.safetensors, .pth, .pt, .ckpt, .bin) or
    /// Hugging Face folder
    #[arg(long, value_name = "PATH")]
    weights: PathBuf,
    /// Images that go through the network at a time
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    batch_size: u32,
    #[command(flatten)]
    pool: PoolArg,
    #[command(flatten)]
    overrides: OverrideArgs,
}

/// A classifier on a device.
pub(crate) struct OpenClassifier {
    /// The file of its weights.
    pub file: PathBuf,
    /// The network.
    pub predictor: Predictor,
    /// Its model.
    pub config: ModelConfig,
    /// Pixel statistics.
    pub normalization: Normalization,
    /// Names of its classes, if they are known.
    pub class_names: Option<Vec<String>>,
    /// Which weights and pooling were taken, and whether the weights told the pooling; for `--json`.
    pub taken: Map<String, Value>,
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
        let KnownHead { info: head, choice } = weights.head(self.pool.pool)?;
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
        let store = ParamStore::holding(&device, config.params(), &weights.tensors)
            .map_err(|e| e.in_file(&weights.file))?;
        let batch = (self.batch_size as usize).min(most.max(1));
        let predictor = Predictor::new(&device, &config, Input::Images, batch, &store)?;
        note(quiet, || {
            let (file, adapter) = (weights.file.display(), device.summary().name);
            format!("{file} on {adapter}, {classes} classes, pixels normalised with {whose}")
        });
        let mut taken = weights.taken();
        taken.insert("pool".to_owned(), json!(head.pool));
        taken.insert("pool_assumed".to_owned(), json!(choice.is_some()));
        if let Some(choice) = choice {
            note(quiet, || choice);
        }
        let class_names = (head.class_names.len() == classes).then_some(head.class_names);
        let (file, config) = (weights.file, weights.config);
        Ok(OpenClassifier { file, predictor, config, normalization, class_names, taken })
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
