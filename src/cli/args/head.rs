//! What stands on a classifier's encoder, as the weights say or as their code base has it.

use std::path::Path;

use super::weights::{Origin, Weights};
use crate::cli::format::choice;
use crate::config::Variant;
use crate::error::{Error, Result};
use crate::model::classifier::{Head, HeadInfo, Pool};
use crate::weights::{FileKind, Format, hugging_face};

/// `--pool` of a trained classifier.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct PoolArg {
    /// How the classifier's tokens become one feature [default: as the weights say; cls where they cannot]
    #[arg(long)]
    pub pool: Option<Pool>,
}

/// A classifier's head, and how its pooling is known.
pub(crate) struct KnownHead {
    pub info: HeadInfo,
    /// What to say of the pooling where the weights could not tell it.
    pub choice: Option<String>,
}

impl Weights {
    /// The head of a classifier, pooled as `given`, else as the weights tell.
    ///
    /// # Errors
    /// [`Error::BadFile`] if these are no classifier's weights, or they are of one that pools in another way.
    pub(crate) fn head(&self, given: Option<Pool>) -> Result<KnownHead> {
        self.kind.require(FileKind::Classifier).map_err(|e| e.in_file(&self.file))?;
        let told = self.told_pool();
        if let (Some(given), Some((told, why))) = (given, told)
            && given != told
        {
            let (given, told) = (choice(given), choice(told));
            let problem = format!(
                "is a classifier that pools by {told} ({why}), not {given}; leave --pool out"
            );
            return Err(Error::bad_file(&self.file, problem));
        }
        let known = given.or(told.map(|(pool, _)| pool));
        let choice = known.is_none().then(|| {
            "the weights do not say how tokens become one feature: cls is taken (--pool mean takes the mean)".to_owned()
        });
        let pool = known.unwrap_or(Pool::Cls);
        let info = match &self.head {
            Some(stored) => HeadInfo { pool, ..stored.clone() },
            None => {
                let head = match self.has("head_norm.running_mean") {
                    true if self.has("fc_norm.weight") => Head::FcNormProbe,
                    true => Head::Probe,
                    false => Head::Full,
                };
                HeadInfo { pool, head, class_names: self.class_names()? }
            }
        };
        Ok(KnownHead { info, choice })
    }

    /// The pooling that the weights themselves tell, and by what. The plain variant has the same tensors either way.
    fn told_pool(&self) -> Option<(Pool, &'static str)> {
        let stored = self.head.as_ref().map(|head| head.pool);
        match (stored, self.config.variant) {
            (Some(pool), _) => Some((pool, "as it was saved")),
            (None, Variant::Plain) => None,
            (None, Variant::Paper) if self.has("fc_norm.weight") => {
                Some((Pool::Mean, "it has fc_norm"))
            }
            (None, Variant::Paper) => Some((Pool::Cls, "it has no fc_norm")),
            (None, Variant::VitPytorch) if self.has("cls_token") => {
                Some((Pool::Cls, "it has a cls token"))
            }
            (None, Variant::VitPytorch) => Some((Pool::Mean, "it has no cls token")),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Names of the classes, where a configuration beside the weights has them.
    fn class_names(&self) -> Result<Vec<String>> {
        if self.origin != Origin::File(Format::HuggingFaceVit) {
            return Ok(Vec::new());
        }
        let folder = if self.file.is_dir() { Some(&*self.file) } else { self.file.parent() };
        hugging_face_names(&folder.unwrap_or(Path::new(".")).join(hugging_face::CONFIG))
    }
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
