//! Foreign state dict → internal tensors, checked against the configuration; and back. What goes where
//! is decided from names and shapes alone, so that values can be streamed.

use std::collections::{BTreeMap, BTreeSet};

use super::table::Meaning;
use super::{FileKind, Format, some_of, unwrapped};
use crate::config::{ModelConfig, StackConfig, Variant};
use crate::error::{Error, Result};
use crate::model::params::{is_decoder, mae_params};
use crate::tensor::{HostTensor, Shapes, TensorMap, by_name, shapes};

/// Whether a state dict may lack tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Every tensor of the file's kind must be there.
    Refused,
    /// Any may lack, as in a dictionary of gradients.
    Allowed,
}

/// Where the values of every internal tensor come from.
#[derive(Debug, Clone, PartialEq)]
pub struct Mapping {
    /// By internal name; a classifier's head is `head.weight` / `head.bias`, its norm after mean
    /// pooling `fc_norm.*`.
    pub tensors: BTreeMap<String, Assembled>,
    /// Names in the file that the model has no use for.
    pub ignored: Vec<String>,
    /// Names in the file that are second names of an internal tensor.
    pub aliases: Vec<(String, String)>,
    /// The parts that the file holds.
    pub kind: FileKind,
}

/// An internal tensor, put together from a file's.
#[derive(Debug, Clone, PartialEq)]
pub struct Assembled {
    /// Extents.
    pub shape: Vec<usize>,
    /// Values, one piece after the other.
    pub pieces: Vec<Piece>,
}

/// A run of values.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// All values of the file's tensor of this name, and their number.
    Tensor(String, usize),
    /// So many zeros.
    Zeros(usize),
}

impl Piece {
    fn len(&self) -> usize {
        match self {
            Self::Tensor(_, len) | Self::Zeros(len) => *len,
        }
    }
}

impl Assembled {
    fn whole(key: &str, shape: &[usize]) -> Self {
        let len = shape.iter().product();
        Self { shape: shape.to_vec(), pieces: vec![Piece::Tensor(key.to_owned(), len)] }
    }

    fn len(&self) -> usize {
        self.pieces.iter().map(Piece::len).sum()
    }

    /// The file's name of the first piece, for messages.
    fn key(&self) -> &str {
        let mut keys = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Tensor(key, _) => Some(key.as_str()),
            Piece::Zeros(_) => None,
        });
        keys.next().unwrap_or_default()
    }
}

impl Mapping {
    /// For each of the file's tensors that are used: internal name and first value there.
    pub fn destinations(&self) -> BTreeMap<&str, (&str, usize)> {
        let mut destinations = BTreeMap::new();
        for (internal, assembled) in &self.tensors {
            let mut first = 0;
            for piece in &assembled.pieces {
                if let Piece::Tensor(key, _) = piece {
                    destinations.insert(key.as_str(), (internal.as_str(), first));
                }
                first += piece.len();
            }
        }
        destinations
    }

    /// The file's tensors whose values are needed: those of the model, and second names to compare.
    pub fn needs(&self) -> BTreeSet<&str> {
        let pieces = self.tensors.values().flat_map(|assembled| &assembled.pieces);
        let names = pieces.filter_map(|piece| match piece {
            Piece::Tensor(key, _) => Some(key.as_str()),
            Piece::Zeros(_) => None,
        });
        names.chain(self.aliases.iter().map(|(key, _)| key.as_str())).collect()
    }

    /// Takes the values out of `tensors`.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if two names of one tensor hold different values.
    pub(crate) fn convert(self, mut tensors: TensorMap) -> Result<Converted> {
        let mut values = |assembled: &Assembled| -> Vec<f32> {
            let mut take = |key: &String| tensors.remove(key).expect("each is needed once").data;
            if let [Piece::Tensor(key, _)] = &*assembled.pieces {
                return take(key);
            }
            let mut data = Vec::with_capacity(assembled.len());
            for piece in &assembled.pieces {
                match piece {
                    Piece::Tensor(key, _) => data.extend(take(key)),
                    Piece::Zeros(len) => data.resize(data.len() + len, 0.0),
                }
            }
            data
        };
        let mut tensor = |a: &Assembled| HostTensor::new(a.shape.clone(), values(a));
        let converted = by_name(self.tensors.iter().map(|(name, a)| (name.clone(), tensor(a))));
        let alike = |a: &HostTensor, b: &HostTensor| {
            a.data.iter().map(|v| v.to_bits()).eq(b.data.iter().map(|v| v.to_bits()))
        };
        for (key, internal) in &self.aliases {
            // A dropped tensor has no other name left to disagree with.
            let Some(canonical) = converted.get(internal) else { continue };
            if !alike(canonical, &tensors[key]) {
                return Err(disagreement(key, self.tensors[internal].key()));
            }
        }
        Ok(Converted { tensors: converted, ignored: self.ignored, kind: self.kind })
    }
}

fn disagreement(key: &str, canonical: &str) -> Error {
    let problem = format!(
        "{key} and {canonical} are one tensor in that code base, but differ in this file: remove the \
         one that is out of date"
    );
    Error::BadWeights { problem }
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

impl FileKind {
    /// Checks that the file holds what a task needs: an encoder is also found in a
    /// [`FileKind::Mae`] or [`FileKind::Classifier`] file, a decoder in a [`FileKind::Mae`] file.
    ///
    /// # Errors
    /// [`Error::BadWeights`] says what the file holds and which kind of file to take.
    pub fn require(self, needed: FileKind) -> Result<()> {
        let enough = match needed {
            FileKind::EncoderOnly => self != FileKind::DecoderOnly,
            FileKind::DecoderOnly => matches!(self, FileKind::Mae | FileKind::DecoderOnly),
            FileKind::Mae | FileKind::Classifier => self == needed,
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
        let problem = format!("the file holds {}, but {needed} is needed here: {advice}", self);
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
    map_names(format, config, &shapes(tensors), missing)?.convert(tensors.clone())
}

/// [`to_internal`] without values: what goes where, by the names and shapes of a file. Sizes that `config` claims and
/// the file has not take no memory.
///
/// # Errors
/// [`Error::BadWeights`] lists the first tensors that are missing, unexpected or of another shape.
pub fn map_names(
    format: Format,
    config: &ModelConfig,
    shapes: &Shapes,
    missing: Missing,
) -> Result<Mapping> {
    if let Some(variant) = format.variant().filter(|v| *v != config.variant) {
        let problem = format!(
            "{format} tensors belong to the {variant:?} variant, but the model is configured as \
             {:?}: change the variant, or take another file",
            config.variant,
        );
        return Err(Error::BadWeights { problem });
    }
    for (stack, StackConfig { depth, .. }) in
        [("encoder", &config.encoder), ("decoder", &config.decoder)]
    {
        // Every block has several tensors, and a file without a decoder has more than the usual decoder has blocks.
        if *depth > shapes.len() {
            let problem = format!(
                "the configuration has {depth} {stack} blocks, the file only {} tensors",
                shapes.len()
            );
            return Err(Error::BadWeights { problem });
        }
    }
    let mut names = Names::gather(format, shapes)?;
    let kind = names.kind();
    if config.variant != Variant::Paper {
        names.drop_unused(kind);
        names.adapt_positions(config);
    }
    names.check(format, config, kind, missing)?;
    let Names { tensors, ignored, aliases, .. } = names;
    Ok(Mapping { tensors, ignored, aliases, kind })
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
    tensors: BTreeMap<String, Assembled>,
    ignored: Vec<String>,
    aliases: Vec<(String, String)>,
    unexpected: Vec<String>,
    problems: Vec<String>,
}

impl Names {
    fn gather(format: Format, shapes: &Shapes) -> Result<Self> {
        let mut names = Self::default();
        let mut aliases: Vec<(String, &str)> = Vec::new();
        let mut thirds: BTreeMap<String, [Option<&str>; 3]> = BTreeMap::new();
        for (name, key) in unwrapped(shapes) {
            match format.table().meaning(&name) {
                Some(Meaning::Whole(internal)) => {
                    let whole = Assembled::whole(key, &shapes[key]);
                    if let Some(other) = names.tensors.insert(internal.clone(), whole) {
                        names.problems.push(twice(&internal, other.key(), key));
                    }
                }
                Some(Meaning::Third(internal, i)) => {
                    let third = &mut thirds.entry(internal.clone()).or_default()[i];
                    if let Some(other) = third.replace(key) {
                        names.problems.push(twice(&internal, other, key));
                    }
                }
                Some(Meaning::Alias(internal)) => aliases.push((internal, key)),
                Some(Meaning::Unused) => names.ignored.push(key.to_owned()),
                None => names.unexpected.push(key.to_owned()),
            }
        }
        for (internal, keys) in thirds {
            names.fuse(internal, keys, shapes);
        }
        for (internal, key) in aliases {
            names.tie(internal, key, &shapes[key])?;
        }
        Ok(names)
    }

    /// Query, key and value, one below the other.
    fn fuse(&mut self, internal: String, keys: [Option<&str>; 3], shapes: &Shapes) {
        let present: Vec<&str> = keys.into_iter().flatten().collect();
        let shape = &shapes[present[0]];
        let alike = present.iter().all(|key| shapes[*key] == *shape);
        let rows = shape.first().and_then(|rows| rows.checked_mul(3));
        let (3, true, Some(rows)) = (present.len(), alike, rows) else {
            let shown = present.iter().map(|key| format!("{key} {:?}", shapes[*key]));
            let shown = shown.collect::<Vec<_>>().join(", ");
            self.problems.push(format!(
                "{internal} needs query, key and value of one shape, but the file has {shown}"
            ));
            return;
        };
        let third = Assembled::whole("", shape).len();
        let pieces = present.iter().map(|key| Piece::Tensor((*key).to_owned(), third)).collect();
        let mut shape = shape.clone();
        shape[0] = rows;
        self.tensors.insert(internal, Assembled { shape, pieces });
    }

    /// A second name: taken where it is the only one, else only compared.
    fn tie(&mut self, internal: String, key: &str, shape: &[usize]) -> Result<()> {
        match self.tensors.get(&internal) {
            None => {
                self.tensors.insert(internal, Assembled::whole(key, shape));
            }
            Some(canonical) if canonical.shape != shape => {
                return Err(disagreement(key, canonical.key()));
            }
            Some(_) => {
                self.ignored.push(key.to_owned());
                self.aliases.push((key.to_owned(), internal));
            }
        }
        Ok(())
    }

    fn kind(&self) -> FileKind {
        let decoder = self.tensors.keys().any(|n| is_decoder(n));
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
                (whole_mae && (cls || is_head(name))) || (cls && tensor.len() == 0)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for name in unused {
            if let Some(tensor) = self.tensors.remove(&name) {
                self.ignored.push(tensor.key().to_owned());
            }
        }
        if let Some(cls) = self.tensors.get_mut("cls_token") {
            cls.shape = vec![1, 1, cls.len()];
        }
    }

    /// `[L, D]`, `[L + 1, D]`, `[1, L, D]` → `[1, L + 1, D]`.
    fn adapt_positions(&mut self, config: &ModelConfig) {
        for (name, first) in [("pos_embed", true), ("decoder_pos_embed", false)] {
            let Some(table) = self.tensors.get_mut(name) else { continue };
            let &[.., rows, dim] = table.shape.as_slice() else { continue };
            if rows.checked_mul(dim) != Some(table.len()) {
                continue;
            }
            table.shape = vec![1, rows, dim];
            if rows == config.num_patches() {
                let at = if first { 0 } else { table.pieces.len() };
                table.pieces.insert(at, Piece::Zeros(dim));
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
            let key = tensor.key();
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
        let own = mae_params(config).into_iter().filter(|param| match kind {
            FileKind::Mae => true,
            FileKind::DecoderOnly => !encoder_groups.contains(&param.group),
            FileKind::EncoderOnly | FileKind::Classifier => encoder_groups.contains(&param.group),
        });
        let mut expected = by_name(own.map(|param| (param.name, param.shape)));
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
            for statistic in ["head_norm.running_mean", "head_norm.running_var"] {
                if has(statistic) {
                    expected.insert(statistic.into(), vec![dim]);
                }
            }
        }
        if !has("encoder_mask_token") {
            expected.remove("encoder_mask_token");
        }
        expected
    }
}

/// The problem of two names for one tensor, of which only one can be meant.
fn twice(internal: &str, one: &str, other: &str) -> String {
    format!("{one} and {other} are both {internal}")
}

fn is_head(name: &str) -> bool {
    ["head.", "head_norm.", "fc_norm."].iter().any(|part| name.starts_with(part))
}
