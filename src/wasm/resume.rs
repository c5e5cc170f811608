//! A checkpoint, tensor by tensor, so that the heap never holds a whole file.

use wasm_bindgen::prelude::wasm_bindgen;

use super::device::WebDevice;
use super::error::{JsResult, json, named};
use super::info::TensorRange;
use super::trainer::Trainer;
use crate::error::{Error, Result};
use crate::files::safetensors::{Entry, Header};
use crate::model::params::ParamSpec;
use crate::model::store::Role;
use crate::train::checkpoint::{Meta, ROLES, require_usable};
use crate::train::trainer::{Beginning, Trainer as Core};

/// Reads one checkpoint, whoever wrote it, into a trainer.
#[wasm_bindgen]
pub struct CheckpointLoader {
    trainer: Trainer,
    /// In the order of their bytes.
    places: Vec<Destination>,
}

/// A tensor of the file, and where it belongs.
struct Destination {
    entry: Entry,
    role: Role,
    parameter: String,
    written: bool,
}

#[wasm_bindgen]
impl CheckpointLoader {
    /// Understands a checkpoint of `file_bytes` bytes by its `header` (eight bytes of length, then JSON) and makes
    /// its trainer.
    ///
    /// # Errors
    /// `BadWeights` if it is none that goes on here, `OutOfMemory`.
    #[wasm_bindgen(constructor)]
    pub fn new(device: &WebDevice, header: &[u8], file_bytes: f64) -> JsResult<Self> {
        let header = Header::read(header, file_bytes as u64)?;
        let meta = Meta::require(&header.metadata)?;
        let recipe = &meta.recipe;
        if recipe.classify.is_some() || recipe.data.tokens.is_some() {
            let problem = "it is of a run with labels or tokens, which go on with the command line";
            return Err(Error::BadWeights { problem: problem.to_owned() }.into());
        }
        let core = Core::new(&device.device, recipe, Beginning::Resuming(&meta))?;
        let trainer = Trainer::around(device, core, meta.normalization, meta.cursor, meta.seconds);
        let places = places(header.entries, &trainer)?;
        Ok(Self { trainer, places })
    }

    /// JSON of the tensors with their places in the file, in its order.
    #[wasm_bindgen(getter)]
    pub fn tensors(&self) -> String {
        let ranges: Vec<_> = self.places.iter().map(|p| TensorRange::of(&p.entry)).collect();
        json(&ranges)
    }

    /// Brings the bytes of tensor `index` to the device.
    ///
    /// # Errors
    /// `BadWeights` for another number of bytes, an element type that is not read, or values that are none to go on with.
    pub fn write(&mut self, index: usize, bytes: &[u8]) -> JsResult<()> {
        let Some(place) = self.places.get_mut(index) else {
            return Err(named("InvalidOption", &format!("There is no tensor {index}.")));
        };
        let values = place.entry.values(bytes)?;
        require_usable(&place.entry.name, &values)?;
        self.trainer.store().write(place.role, &place.parameter, 0, &values);
        place.written = true;
        Ok(())
    }

    /// The trainer, once every tensor was written.
    ///
    /// # Errors
    /// `BadWeights` if one was not, `OutOfMemory`, `DeviceLost`.
    pub async fn finish(self) -> JsResult<Trainer> {
        if let Some(missing) = self.places.iter().find(|place| !place.written) {
            let message = format!("The tensor {} was not read.", missing.entry.name);
            return Err(named("BadWeights", &message));
        }
        // Waits for the uploads, whose failure shows here and not in the first step.
        self.trainer.store().settle().await?;
        Ok(self.trainer)
    }
}

/// Where the `entries` of a checkpoint belong in the store of its `trainer`, which needs them all and no others.
fn places(entries: Vec<Entry>, trainer: &Trainer) -> Result<Vec<Destination>> {
    let mut needed: Vec<(String, Role, &ParamSpec)> = Vec::new();
    let (store, roles) = trainer.written(true);
    for (&role, prefix) in roles.iter().zip(ROLES) {
        let stored = store.stored(role).into_iter();
        needed.extend(stored.map(|(_, _, spec)| (format!("{prefix}{}", spec.name), role, spec)));
    }
    let bad = |problem: String| Err(Error::BadWeights { problem });
    let mut places = Vec::new();
    for entry in entries {
        let Some(at) = needed.iter().position(|(name, ..)| *name == entry.name) else {
            return bad(format!("a checkpoint of this model has no tensor {}", entry.name));
        };
        let (name, role, spec) = needed.swap_remove(at);
        if entry.shape != spec.shape {
            let Entry { shape, .. } = entry;
            return bad(format!("{name} has shape {shape:?}, this model needs {:?}", spec.shape));
        }
        places.push(Destination { entry, role, parameter: spec.name.clone(), written: false });
    }
    match needed.first() {
        Some((name, _, ParamSpec { shape, .. })) => {
            bad(format!("{name} {shape:?} is missing, which this model needs"))
        }
        None => Ok(places),
    }
}
