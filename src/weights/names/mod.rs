//! Translation between the code bases' tensor names and the internal ones (see
//! [`crate::model::params`]).

mod convert;
mod fair;
mod hugging_face;
mod mmpretrain;
mod table;
mod to_vit_pytorch;
mod vit_pytorch;

use std::collections::BTreeMap;
use std::fmt;

pub use convert::{
    Assembled, Converted, Mapping, Missing, Piece, map_names, to_hugging_face, to_internal,
};
pub use to_vit_pytorch::{VitPytorchModel, to_vit_pytorch};

use crate::config::Variant;
use crate::error::{Error, Result};
use crate::files::listing::{Elements, Listing};
use crate::tensor::{Shapes, by_name};
use table::{Meaning, Table};

/// A code base's way of naming tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `transformers`: `ViTMAEForPreTraining`, `ViTMAEModel`.
    HuggingFaceMae,
    /// `transformers`: `ViTForImageClassification`, `ViTModel`.
    HuggingFaceVit,
    /// `facebookresearch/mae` and timm.
    Fair,
    /// OpenMMLab's `mmpretrain`.
    MmPretrain,
    /// vit-pytorch up to 0.25 (the plain variant).
    VitPytorchOld,
    /// vit-pytorch 1.x (checked against 1.26).
    VitPytorch,
    /// This crate's own files: the internal names, for every variant.
    Webmae,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::HuggingFaceMae => "Hugging Face ViTMAE",
            Self::HuggingFaceVit => "Hugging Face ViT",
            Self::Fair => "facebookresearch/mae or timm",
            Self::MmPretrain => "mmpretrain",
            Self::VitPytorchOld => "vit-pytorch ≤ 0.25",
            Self::VitPytorch => "vit-pytorch 1.x",
            Self::Webmae => "webmae",
        })
    }
}

impl Format {
    /// The variant that the code base computes; `None` for this crate's own files.
    pub fn variant(self) -> Option<Variant> {
        match self {
            Self::HuggingFaceMae | Self::HuggingFaceVit | Self::Fair | Self::MmPretrain => {
                Some(Variant::Paper)
            }
            Self::VitPytorchOld => Some(Variant::Plain),
            Self::VitPytorch => Some(Variant::VitPytorch),
            Self::Webmae => None,
        }
    }

    /// Whether a model of the code base has a tensor of this name.
    #[cfg(feature = "native")]
    pub(super) fn knows(self, name: &str) -> bool {
        self.table().meaning(name).is_some_and(|meaning| meaning != Meaning::Unused)
    }

    fn table(self) -> &'static Table {
        match self {
            Self::HuggingFaceMae | Self::HuggingFaceVit => &hugging_face::TABLE,
            Self::Fair | Self::Webmae => &fair::TABLE,
            Self::MmPretrain => &mmpretrain::TABLE,
            Self::VitPytorchOld => &vit_pytorch::OLD,
            Self::VitPytorch => &vit_pytorch::NEW,
        }
    }
}

/// Which parts of a model a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Encoder and decoder: can be trained on, can reconstruct.
    Mae,
    /// An encoder without head or decoder: features, probing, fine-tuning.
    EncoderOnly,
    /// A decoder alone.
    DecoderOnly,
    /// An encoder with a classification head.
    Classifier,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Mae => "encoder and decoder",
            Self::EncoderOnly => "only an encoder",
            Self::DecoderOnly => "only a decoder",
            Self::Classifier => "an encoder with a classification head",
        })
    }
}

/// Recognises the code base by the tensors' names.
///
/// # Errors
/// [`Error::BadWeights`] shows a few names when none is recognised.
pub fn detect(shapes: &Shapes) -> Result<Format> {
    let names = unwrapped(shapes);
    let any = |part: &str| names.keys().any(|name| name.contains(part));
    let flat_embedding =
        names.get("patch_embed.proj.weight").is_some_and(|n| shapes[*n].len() == 2);
    if any("layernorm_before.")
        || any("patch_embeddings.projection.")
        || any("decoder.decoder_layers.")
    {
        let vit = any("classifier.") || any("pooler.");
        Ok(if vit { Format::HuggingFaceVit } else { Format::HuggingFaceMae })
    } else if any(".ffn.layers.0.0.") {
        Ok(Format::MmPretrain)
    } else if any("to_patch_embedding.") || any("transformer.layers.") || any("decoder.layers.") {
        let old = any(".fn.") || any("mlp_head.1.");
        Ok(if old { Format::VitPytorchOld } else { Format::VitPytorch })
    } else if flat_embedding || any("patch_embed.norm_pre.") || any("encoder_mask_token") {
        Ok(Format::Webmae)
    } else if any("blocks.0.") || any("patch_embed.proj.") {
        Ok(Format::Fair)
    } else {
        let problem = format!(
            "tensor names of no known code base: {}; known are transformers, facebookresearch/mae, \
             timm, mmpretrain and vit-pytorch",
            some_of(shapes.keys().map(|name| format!("{name:?}"))),
        );
        Err(Error::BadWeights { problem })
    }
}

/// The shapes of what may be parameters, and the names of what cannot: counters, indices and quantised or complex
/// values, under names that the code base does not have. Nothing of a model is computed with those.
///
/// # Errors
/// [`Error::BadWeights`] if a parameter is of a type that is not read.
pub(super) fn parameters(format: Format, listing: &Listing) -> Result<(Shapes, Vec<String>)> {
    let all = by_name(listing.iter().map(|(name, listed)| (name.clone(), listed.shape.clone())));
    let mut others = Vec::new();
    for (name, key) in unwrapped(&all) {
        match (&listing[key].elements, format.table().meaning(&name)) {
            (Elements::Float, _) | (Elements::Integer, Some(_)) => {}
            (Elements::Unreadable(_), Some(Meaning::Unused)) | (_, None) => {
                others.push(key.to_owned());
            }
            (Elements::Unreadable(of), Some(_)) => {
                let problem = format!(
                    "{key} holds {of} values, which are not read: convert it to floats first"
                );
                return Err(Error::BadWeights { problem });
            }
        }
    }
    let mut shapes = all;
    others.iter().for_each(|name| drop(shapes.remove(name)));
    Ok((shapes, others))
}

/// Shapes under the internal names, for reading a model's sizes off its weights. Names without a meaning
/// are left out.
pub(super) fn internal_shapes(format: Format, file: &Shapes) -> Shapes {
    let mut shapes = Shapes::new();
    for (name, key) in unwrapped(file) {
        let mut shape = file[key].clone();
        match format.table().meaning(&name) {
            Some(Meaning::Whole(internal) | Meaning::Alias(internal)) => {
                shapes.insert(internal, shape);
            }
            Some(Meaning::Third(internal, _)) => {
                if let Some(rows) = shape.first_mut() {
                    *rows = rows.saturating_mul(3);
                }
                shapes.insert(internal, shape);
            }
            Some(Meaning::Unused) | None => {}
        }
    }
    shapes
}

/// Names without the wrappers that training scripts put around all of them, each with the name in
/// the file.
fn unwrapped(shapes: &Shapes) -> BTreeMap<String, &str> {
    let mut names: Vec<(&str, &str)> = shapes.keys().map(|k| (k.as_str(), k.as_str())).collect();
    while let Some(wrapper) = ["module.", "model.", "_orig_mod.", "encoder.", "backbone."]
        .into_iter()
        .find(|wrapper| !names.is_empty() && names.iter().all(|(n, _)| n.starts_with(wrapper)))
    {
        for (name, _) in &mut names {
            *name = &name[wrapper.len()..];
        }
    }
    by_name(names.into_iter().map(|(name, key)| (name.to_owned(), key)))
}

/// Of the name of a model's patch embedding what stands before all names of the model, and whose name it is.
#[cfg(feature = "native")]
pub(super) fn stem(name: &str) -> Option<(&str, Format)> {
    const FORMATS: [Format; 5] = [
        Format::Fair,
        Format::HuggingFaceVit,
        Format::MmPretrain,
        Format::VitPytorchOld,
        Format::VitPytorch,
    ];
    if !name.contains("patch_embed") {
        return None;
    }
    let embedding = Meaning::Whole("patch_embed.proj.weight".to_owned());
    let mut starts = std::iter::once(0).chain(name.match_indices('.').map(|(dot, _)| dot + 1));
    starts.find_map(|start| {
        let is_embedding =
            |format: &&Format| format.table().meaning(&name[start..]).as_ref() == Some(&embedding);
        FORMATS.iter().find(is_embedding).map(|format| (&name[..start], *format))
    })
}

/// The first few of `items`, and how many more there are.
fn some_of(items: impl IntoIterator<Item = String>) -> String {
    const SHOWN: usize = 5;
    let items: Vec<String> = items.into_iter().collect();
    let mut text = items[..items.len().min(SHOWN)].join(", ");
    if items.len() > SHOWN {
        text += &format!(" and {} more", items.len() - SHOWN);
    }
    if items.is_empty() { "none".to_owned() } else { text }
}
