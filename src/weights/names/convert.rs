//! Foreign state dict → internal tensors, checked against the configuration; and back.

use std::collections::BTreeMap;

use super::table::Meaning;
use super::{FileKind, Format, some_of, unwrapped};
use crate::config::{ModelConfig, Variant};
use crate::error::{Error, Result};
use crate::model::params::mae_params;
use crate::tensor::{HostTensor, TensorMap};

/// Whether a state dict may lack tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Every tensor of the file's kind must be there.
    Refused,
    /// Any may lack, as in a dictionary of gradients.
    Allowed,
}

/// A translated state dict.
#[derive(Debug, Clone, PartialEq)]
pub struct Converted {
    /// Tensors under the internal names; a classifier's head is `head.weight` / `head.bias`, its
    /// norm after mean pooling `fc_norm.*`.
    pub tensors: TensorMap,
    /// Names in the file that the model has no use for.
    pub ignored: Vec<String>,
    /// The parts that the file holds.
    pub kind: FileKind,
}

impl Converted {
    /// Checks that the file holds what a task needs: an encoder is also found in a
    /// [`FileKind::Mae`] or [`FileKind::Classifier`] file, a decoder in a [`FileKind::Mae`] file.
    ///
    /// # Errors
    /// [`Error::BadWeights`] says what the file holds and which kind of file to take.
    pub fn require(&self, needed: FileKind) -> Result<()> {
        let enough = match needed {
            FileKind::EncoderOnly => self.kind != FileKind::DecoderOnly,
            FileKind::DecoderOnly => matches!(self.kind, FileKind::Mae | FileKind::DecoderOnly),
            FileKind::Mae | FileKind::Classifier => self.kind == needed,
        };
        if enough {
            return Ok(());
        }
        let advice = match needed {
            FileKind::Mae | FileKind::DecoderOnly => {
                "take the whole pre-training checkpoint (for FAIR's models the \
                 mae_visualize_vit_*.pth or Hugging Face's vit-mae-* files)"
            }
            FileKind::EncoderOnly => "take the pre-training checkpoint or its encoder",
            FileKind::Classifier => "take a fine-tuned checkpoint, or train a head first",
        };
        let problem =
            format!("the file holds {}, but {needed} is needed here: {advice}", self.kind);
        Err(Error::BadWeights { problem })
    }
}

/// Translates a state dict (or, with [`Missing::Allowed`], a dictionary of gradients) of `config`'s
/// model. Query, key and value are fused by rows; position tables of the plain variants get their
/// internal `[1, L + 1, D]` shape (an absent row becomes zeros: the encoder's first, the decoder's
/// last); second names of a tensor are dropped if they hold the same values.
///
/// # Errors
/// [`Error::BadWeights`] lists the first tensors that are missing, unexpected or of another shape.
pub fn to_internal(
    format: Format,
    config: &ModelConfig,
    tensors: &TensorMap,
    missing: Missing,
) -> Result<Converted> {
    if let Some(variant) = format.variant().filter(|v| *v != config.variant) {
        let problem = format!(
            "{format} tensors belong to the {variant:?} variant, but the model is configured as \
             {:?}: change the variant, or take another file",
            config.variant,
        );
        return Err(Error::BadWeights { problem });
    }
    let mut names = Names::gather(format, tensors)?;
    let kind = names.kind();
    if config.variant != Variant::Paper {
        names.drop_unused(kind);
        names.adapt_positions(config);
    }
    names.check(format, config, kind, missing)?;
    Ok(Converted { tensors: names.tensors, ignored: names.ignored, kind })
}

/// Translates internal tensors (all or some) to the names of Hugging Face's published ViTMAE
/// checkpoints, splitting the fused qkv.
///
/// # Errors
/// [`Error::BadWeights`] for a variant or a tensor that `ViTMAEForPreTraining` does not have.
pub fn to_hugging_face(config: &ModelConfig, tensors: &TensorMap) -> Result<TensorMap> {
    if config.variant != Variant::Paper {
        let problem = format!(
            "Hugging Face's ViTMAE has no {:?} variant; only the paper variant can be exported",
            config.variant,
        );
        return Err(Error::BadWeights { problem });
    }
    let table = Format::HuggingFaceMae.table();
    let mut foreign = TensorMap::new();
    for (name, tensor) in tensors {
        match table.foreign_names(name).as_slice() {
            [] => {
                let problem = format!("Hugging Face's ViTMAE has no counterpart of {name:?}");
                return Err(Error::BadWeights { problem });
            }
            [whole] => {
                foreign.insert(whole.clone(), tensor.clone());
            }
            thirds => {
                let third = tensor.data.len() / 3;
                let mut shape = tensor.shape.clone();
                if shape.first().is_none_or(|rows| rows % 3 != 0) {
                    let problem = format!("{name} of shape {shape:?} has no q, k and v thirds");
                    return Err(Error::BadWeights { problem });
                }
                shape[0] /= 3;
                for (i, part) in thirds.iter().enumerate() {
                    let rows = tensor.data[i * third..(i + 1) * third].to_vec();
                    foreign.insert(part.clone(), HostTensor::new(shape.clone(), rows));
                }
            }
        }
    }
    Ok(foreign)
}

/// A state dict on its way to the internal names.
#[derive(Default)]
struct Names {
    tensors: TensorMap,
    /// The file's name of each internal tensor.
    origin: BTreeMap<String, String>,
    ignored: Vec<String>,
    unexpected: Vec<String>,
    problems: Vec<String>,
}

impl Names {
    fn gather(format: Format, tensors: &TensorMap) -> Result<Self> {
        let mut names = Self::default();
        let mut aliases: Vec<(String, &str)> = Vec::new();
        let mut thirds: BTreeMap<String, [Option<&str>; 3]> = BTreeMap::new();
        for (name, key) in unwrapped(tensors) {
            match format.table().meaning(&name) {
                Some(Meaning::Whole(internal)) => names.insert(internal, key, tensors[key].clone()),
                Some(Meaning::Third(internal, i)) => {
                    thirds.entry(internal).or_default()[i] = Some(key);
                }
                Some(Meaning::Alias(internal)) => aliases.push((internal, key)),
                Some(Meaning::Unused) => names.ignored.push(key.to_owned()),
                None => names.unexpected.push(key.to_owned()),
            }
        }
        for (internal, keys) in thirds {
            names.fuse(internal, keys, tensors);
        }
        for (internal, key) in aliases {
            names.tie(internal, key, &tensors[key])?;
        }
        Ok(names)
    }

    fn insert(&mut self, internal: String, key: &str, tensor: HostTensor) {
        self.origin.insert(internal.clone(), key.to_owned());
        self.tensors.insert(internal, tensor);
    }

    /// Query, key and value, one below the other.
    fn fuse(&mut self, internal: String, keys: [Option<&str>; 3], tensors: &TensorMap) {
        let present: Vec<&str> = keys.into_iter().flatten().collect();
        let shape = &tensors[present[0]].shape;
        let alike = present.iter().all(|key| tensors[*key].shape == *shape);
        let rows = shape.first().and_then(|rows| rows.checked_mul(3));
        let (3, true, Some(rows)) = (present.len(), alike, rows) else {
            let shown = present.iter().map(|key| format!("{key} {:?}", tensors[*key].shape));
            let shown = shown.collect::<Vec<_>>().join(", ");
            self.problems.push(format!(
                "{internal} needs query, key and value of one shape, but the file has {shown}"
            ));
            return;
        };
        let mut fused = shape.clone();
        fused[0] = rows;
        let data = present.iter().flat_map(|key| &tensors[*key].data).copied().collect();
        self.insert(internal, present[0], HostTensor::new(fused, data));
    }

    /// A second name: dropped where it says the same, taken where it is the only one.
    fn tie(&mut self, internal: String, key: &str, tensor: &HostTensor) -> Result<()> {
        let Some(canonical) = self.tensors.get(&internal) else {
            self.insert(internal, key, tensor.clone());
            return Ok(());
        };
        let bits = |t: &HostTensor| t.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        if canonical.shape != tensor.shape || bits(canonical) != bits(tensor) {
            let problem = format!(
                "{key} and {} are one tensor in that code base, but differ in this file: remove \
                 the one that is out of date",
                self.origin[&internal],
            );
            return Err(Error::BadWeights { problem });
        }
        self.ignored.push(key.to_owned());
        Ok(())
    }

    fn kind(&self) -> FileKind {
        let is_decoder = |n: &String| n.starts_with("decoder_") || *n == "mask_token";
        let decoder = self.tensors.keys().any(is_decoder);
        let encoder = self.tensors.keys().any(|n| !is_decoder(n) && !is_head(n));
        let head = self.tensors.contains_key("head.weight");
        match (encoder, decoder, head) {
            (_, false, true) => FileKind::Classifier,
            (true, true, _) => FileKind::Mae,
            (_, false, false) => FileKind::EncoderOnly,
            (false, true, _) => FileKind::DecoderOnly,
        }
    }

    /// The plain variants carry a classifier's cls token and head through pre-training untouched.
    fn drop_unused(&mut self, kind: FileKind) {
        let whole_mae = kind == FileKind::Mae;
        let unused: Vec<String> = self
            .tensors
            .iter()
            .filter(|(name, tensor)| {
                let cls = *name == "cls_token";
                (whole_mae && (cls || is_head(name))) || (cls && tensor.data.is_empty())
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in unused {
            self.tensors.remove(&name);
            self.ignored.extend(self.origin.remove(&name));
        }
        if let Some(cls) = self.tensors.get_mut("cls_token") {
            cls.shape = vec![1, 1, cls.data.len()];
        }
    }

    /// `[L, D]`, `[L + 1, D]`, `[1, L, D]` → `[1, L + 1, D]`.
    fn adapt_positions(&mut self, config: &ModelConfig) {
        for (name, first) in [("pos_embed", true), ("decoder_pos_embed", false)] {
            let Some(table) = self.tensors.get_mut(name) else { continue };
            let &[.., rows, dim] = table.shape.as_slice() else { continue };
            if rows.checked_mul(dim) != Some(table.data.len()) {
                continue;
            }
            table.shape = vec![1, rows, dim];
            if rows == config.num_patches() {
                let at = if first { 0 } else { table.data.len() };
                table.data.splice(at..at, std::iter::repeat_n(0.0, dim));
                table.shape[1] += 1;
            }
        }
    }

    fn check(
        &self,
        format: Format,
        config: &ModelConfig,
        kind: FileKind,
        missing: Missing,
    ) -> Result<()> {
        let expected = self.expected(config, kind);
        let mut problems = self.problems.clone();
        let absent: Vec<String> = expected
            .iter()
            .filter(|(name, _)| !self.tensors.contains_key(*name))
            .map(|(name, shape)| format!("{name} {shape:?}"))
            .collect();
        if missing == Missing::Refused && !absent.is_empty() {
            problems.push(format!("missing {}", some_of(absent)));
        }
        let mut unexpected = self.unexpected.clone();
        let mut misshapen = Vec::new();
        for (name, tensor) in &self.tensors {
            let key = &self.origin[name];
            match expected.get(name) {
                None => unexpected.push(format!("{key} {:?}", tensor.shape)),
                Some(shape) if *shape != tensor.shape => {
                    let as_name = if key == name { String::new() } else { format!(" ({name})") };
                    misshapen.push(format!(
                        "{key}{as_name} is {:?} where the model has {shape:?}",
                        tensor.shape
                    ));
                }
                Some(_) => {}
            }
        }
        if !unexpected.is_empty() {
            problems.push(format!("unexpected {}", some_of(unexpected)));
        }
        if !misshapen.is_empty() {
            problems.push(format!("wrong shape: {}", some_of(misshapen)));
        }
        if problems.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "{}. The file has {format} names and holds {kind}; needed is a {:?}-variant model of \
             {}×{} images, {}×{} patches, width {} × {} blocks (decoder {} × {}): take such a \
             file, or configure the file's sizes",
            problems.join("; "),
            config.variant,
            config.image_size[0],
            config.image_size[1],
            config.patch_size[0],
            config.patch_size[1],
            config.encoder.dim,
            config.encoder.depth,
            config.decoder.dim,
            config.decoder.depth,
        );
        Err(Error::BadWeights { problem })
    }

    /// Names and shapes that a file of this kind has.
    fn expected(&self, config: &ModelConfig, kind: FileKind) -> BTreeMap<String, Vec<usize>> {
        let encoder_groups = 0..=config.encoder.depth;
        let mut expected: BTreeMap<String, Vec<usize>> = mae_params(config)
            .into_iter()
            .filter(|param| match kind {
                FileKind::Mae => true,
                FileKind::DecoderOnly => !encoder_groups.contains(&param.group),
                FileKind::EncoderOnly | FileKind::Classifier => {
                    encoder_groups.contains(&param.group)
                }
            })
            .map(|param| (param.name, param.shape))
            .collect();
        if !matches!(kind, FileKind::EncoderOnly | FileKind::Classifier) {
            return expected;
        }
        let dim = config.encoder.dim;
        let has = |name: &str| self.tensors.contains_key(name);
        if has("cls_token") {
            expected.insert("cls_token".into(), vec![1, 1, dim]);
        }
        if has("fc_norm.weight") || has("fc_norm.bias") {
            // Mean pooling has its own norm in place of the encoder's.
            for suffix in ["weight", "bias"] {
                expected.remove(&format!("norm.{suffix}"));
                expected.insert(format!("fc_norm.{suffix}"), vec![dim]);
            }
        }
        if kind == FileKind::Classifier {
            let classes = self.tensors["head.weight"].shape.first().copied().unwrap_or(0);
            expected.insert("head.weight".into(), vec![classes, dim]);
            expected.insert("head.bias".into(), vec![classes]);
        }
        if !has("encoder_mask_token") {
            expected.remove("encoder_mask_token");
        }
        expected
    }
}

fn is_head(name: &str) -> bool {
    name.starts_with("head.") || name.starts_with("fc_norm.")
}
