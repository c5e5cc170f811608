//! Parameters on the device, in slabs: one buffer per block for values, gradients and each moment,
//! so that the optimiser is one dispatch per slab and no binding grows with the model's depth. In mixed
//! precision matrix products read a copy in f16, which follows the values.

use std::sync::Arc;

use super::params::ParamSpec;
use crate::error::{Error, Result};
use crate::kernels::{BINDING_ALIGNMENT, KernelTarget, Precision};
use crate::ops::optimizer::{LarsTensors, STATE, SlabTensors, State, halve};
use crate::order::sort_indices;
use crate::program::{Buffers, Device, Program, Recorder, Tensor};
use crate::tensor::{HostTensor, TensorMap};

/// What a slab's buffers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The parameters themselves.
    Value,
    /// Their gradients.
    Grad,
    /// AdamW's first moments.
    Moment1,
    /// AdamW's second moments.
    Moment2,
    /// Moving averages of the parameters, see [`ParamStore::add_average`].
    Average,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::Value => "param",
            Self::Grad => "grad",
            Self::Moment1 => "moment1",
            Self::Moment2 => "moment2",
            Self::Average => "average",
        }
    }
}

/// Where every parameter lives; computed without a device.
#[derive(Debug, Clone)]
pub struct ParamLayout {
    specs: Vec<ParamSpec>,
    precision: Precision,
    /// Per parameter: slab and first value; `None` for fixed ones, which have buffers of their own.
    places: Vec<Option<(usize, usize)>>,
    slabs: Vec<Slab>,
    /// Frozen parameters of another store that these stand on.
    base: Option<Box<ParamLayout>>,
}

#[derive(Debug, Clone, Default)]
struct Slab {
    len: usize,
    decayed: usize,
}

impl ParamLayout {
    /// Lays trainable parameters out by group, decayed ones first. A group that exceeds
    /// `max_binding` bytes is split over several slabs.
    pub fn new(specs: Vec<ParamSpec>, max_binding: u64) -> Self {
        Self::with_precision(specs, max_binding, Precision::F32)
    }

    /// [`Self::new`] for recordings in `precision`, and in f32.
    pub fn with_precision(specs: Vec<ParamSpec>, max_binding: u64, precision: Precision) -> Self {
        // Places begin where bindings may, those of the copy as well.
        let alignment = (BINDING_ALIGNMENT / precision.bytes()) as usize;
        let mut order: Vec<usize> = (0..specs.len()).filter(|&i| specs[i].trainable).collect();
        let key = |i: usize| (specs[i].group, !specs[i].decayed);
        sort_indices(&mut order, &|a, b| key(a).cmp(&key(b)));
        let limit = max_binding as usize / 4;
        let mut places = vec![None; specs.len()];
        let mut slabs: Vec<Slab> = Vec::new();
        let mut group = None;
        for i in order {
            let spec = &specs[i];
            let len = spec.len().next_multiple_of(alignment);
            let full = slabs.last().is_some_and(|slab| slab.len + len > limit);
            if group != Some(spec.group) || full {
                slabs.push(Slab::default());
                group = Some(spec.group);
            }
            let index = slabs.len() - 1;
            let slab = &mut slabs[index];
            places[i] = Some((index, slab.len));
            slab.len += len;
            if spec.decayed {
                slab.decayed = slab.len;
            }
        }
        Self { specs, precision, places, slabs, base: None }
    }

    /// The parameter table.
    pub fn specs(&self) -> &[ParamSpec] {
        &self.specs
    }

    /// Number of trainable values.
    pub fn trainable(&self) -> usize {
        self.specs.iter().filter(|spec| spec.trainable).map(ParamSpec::len).sum()
    }

    /// Declares all parameters in a recording, matrices in its precision; with `train`, their gradients too,
    /// in f32, which a run accumulates and the program clears first. What they stand on is declared as well,
    /// frozen.
    ///
    /// # Panics
    /// If the recording is in f16 and the layout is not for that.
    pub fn declare(&self, rec: &mut Recorder, train: bool) {
        if let Some(base) = &self.base {
            base.declare(rec, false);
        }
        let mixed = rec.precision() == Precision::F16;
        assert!(!mixed || self.precision == Precision::F16, "there is no copy in f16");
        for (spec, place) in self.specs.iter().zip(&self.places) {
            let halved = mixed && spec.is_matrix();
            let Some((slab, first)) = *place else {
                let tensor = if halved {
                    let label = fixed_half_label(&spec.name);
                    rec.external_of(Precision::F16, &label, spec.shape.clone())
                } else {
                    rec.external(&fixed_label(&spec.name), spec.shape.clone())
                };
                rec.add_param(&spec.name, tensor, None);
                continue;
            };
            let len = self.slabs[slab].len;
            let value = if halved {
                let slab = (&*self.half_label(slab), len);
                rec.external_range(Precision::F16, slab, first, &spec.name, &spec.shape)
            } else {
                self.range(rec, Role::Value, (slab, first), &spec.name, &spec.shape)
            };
            let grad = train.then(|| {
                let name = format!("gradient of {}", spec.name);
                self.range(rec, Role::Grad, (slab, first), &name, &spec.shape)
            });
            rec.add_param(&spec.name, value, grad);
        }
        if train {
            for slab in 0..self.slabs.len() {
                let grads = self.whole_slab(rec, Role::Grad, slab);
                rec.clear_first(grads);
            }
        }
    }

    /// The slabs as whole tensors, for the optimiser; with moving averages if they are `averaged`.
    pub fn slab_tensors(&self, rec: &mut Recorder, averaged: bool) -> Vec<SlabTensors> {
        let slabs = 0..self.slabs.len();
        let tensors = slabs.map(|slab| SlabTensors {
            values: self.whole_slab(rec, Role::Value, slab),
            grads: self.whole_slab(rec, Role::Grad, slab),
            moment1: self.whole_slab(rec, Role::Moment1, slab),
            moment2: self.whole_slab(rec, Role::Moment2, slab),
            halves: (self.precision == Precision::F16).then(|| self.whole_half(rec, slab)),
            averages: averaged.then(|| self.whole_slab(rec, Role::Average, slab)),
            decayed: self.slabs[slab].decayed,
            lr_scale: 1.0,
        });
        tensors.collect()
    }

    /// The group of each slab's parameters, see [`ParamSpec::group`].
    pub fn slab_groups(&self) -> Vec<usize> {
        let mut groups = vec![0; self.slabs.len()];
        for (spec, place) in self.specs.iter().zip(&self.places) {
            if let Some((slab, _)) = place {
                groups[*slab] = spec.group;
            }
        }
        groups
    }

    fn whole_slab(&self, rec: &mut Recorder, role: Role, slab: usize) -> Tensor {
        let name = self.label(role, slab);
        self.range(rec, role, (slab, 0), &name, &[self.slabs[slab].len])
    }

    fn whole_half(&self, rec: &mut Recorder, slab: usize) -> Tensor {
        let (label, len) = (self.half_label(slab), self.slabs[slab].len);
        rec.external_range(Precision::F16, (&label, len), 0, &label, &[len])
    }

    /// What is at a parameter's place in a slab of `role`.
    fn range(
        &self,
        rec: &mut Recorder,
        role: Role,
        (slab, first): (usize, usize),
        name: &str,
        shape: &[usize],
    ) -> Tensor {
        let label = self.label(role, slab);
        let slab = (&*label, self.slabs[slab].len);
        rec.external_range(Precision::F32, slab, first, name, shape)
    }

    /// Every trained parameter for LARS, whose momentum takes the place of the first moment.
    pub fn lars_tensors(&self, rec: &mut Recorder) -> Vec<LarsTensors> {
        let trained =
            self.specs.iter().zip(&self.places).filter_map(|(s, place)| Some((s, (*place)?)));
        let tensors = trained.map(|(spec, place)| {
            let mut range = |role: Role| self.range(rec, role, place, &spec.name, &spec.shape);
            LarsTensors {
                grad: range(Role::Grad),
                value: range(Role::Value),
                velocity: range(Role::Moment1),
            }
        });
        tensors.collect()
    }

    /// Label of a slab's buffer; another store's parameters below have labels of their own.
    fn label(&self, role: Role, slab: usize) -> String {
        self.slab_label(role.name(), slab)
    }

    /// Label of the buffer with a slab's copy in f16.
    fn half_label(&self, slab: usize) -> String {
        self.slab_label("half", slab)
    }

    fn slab_label(&self, kind: &str, slab: usize) -> String {
        let level = if self.base.is_some() { "top " } else { "" };
        format!("{level}{kind}.{slab}")
    }

    /// Buffers with copies in f16: label and values.
    fn halves(&self) -> Vec<(String, usize)> {
        if self.precision == Precision::F32 {
            return Vec::new();
        }
        let slabs = self.slabs.iter().enumerate();
        let slabs = slabs.map(|(i, slab)| (self.half_label(i), slab.len));
        let fixed = self.specs.iter().filter(|spec| !spec.trainable && spec.is_matrix());
        slabs.chain(fixed.map(|spec| (fixed_half_label(&spec.name), spec.len()))).collect()
    }

    /// Records the copies in f16.
    fn record_halves(&self, target: KernelTarget) -> Recorder {
        let mut rec = Recorder::new(target, false);
        for slab in 0..self.slabs.len() {
            let (values, halves) =
                (self.whole_slab(&mut rec, Role::Value, slab), self.whole_half(&mut rec, slab));
            halve(&mut rec, values, halves);
        }
        for spec in self.specs.iter().filter(|spec| !spec.trainable && spec.is_matrix()) {
            let values = rec.external(&fixed_label(&spec.name), [spec.len()]);
            let label = fixed_half_label(&spec.name);
            let halves = rec.external_of(Precision::F16, &label, [spec.len()]);
            halve(&mut rec, values, halves);
        }
        rec
    }
}

/// Checks that every parameter of `specs` has values.
///
/// # Errors
/// [`Error::BadWeights`] names the first that has none.
pub fn require_all<'a>(
    specs: impl IntoIterator<Item = &'a ParamSpec>,
    values: &TensorMap,
) -> Result<()> {
    match specs.into_iter().find(|spec| !values.contains_key(&spec.name)) {
        Some(ParamSpec { name, shape, .. }) => {
            let problem = format!("{name} {shape:?} is missing, which this model needs");
            Err(Error::BadWeights { problem })
        }
        None => Ok(()),
    }
}

fn fixed_label(name: &str) -> String {
    format!("fixed {name}")
}

fn fixed_half_label(name: &str) -> String {
    format!("half {name}")
}

/// Parameters, and while training also gradients and moments, on a device.
pub struct ParamStore {
    device: Device,
    layout: ParamLayout,
    buffers: Buffers,
    /// Makes the copy in f16, where there is one.
    halving: Option<Program>,
}

impl ParamStore {
    /// Allocates zeroed memory for `layout`; with `train` for gradients and moments too.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] or [`Error::Device`] if the device has not enough.
    pub fn new(device: &Device, layout: ParamLayout, train: bool) -> Result<Self> {
        Self::with_buffers(device, layout, train, Buffers::new())
    }

    /// The parameters `specs` with the given values, for use without training.
    ///
    /// # Errors
    /// As [`Self::new`] and [`Self::load`]; [`Error::BadWeights`] if a value is missing.
    pub fn holding(device: &Device, specs: Vec<ParamSpec>, values: &TensorMap) -> Result<Self> {
        require_all(&specs, values)?;
        let store = Self::new(device, ParamLayout::new(specs, device.max_binding()), false)?;
        store.load(Role::Value, values)?;
        Ok(store)
    }

    /// A store for training on top of `base`, whose parameters are used as they are at any time and stay
    /// untouched.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] or [`Error::Device`] if the device has not enough.
    pub fn on_top(base: &ParamStore, mut layout: ParamLayout) -> Result<Self> {
        layout.base = Some(Box::new(base.layout.clone()));
        let mut buffers = base.buffers.clone();
        buffers.remove(STATE);
        Self::with_buffers(&base.device, layout, true, buffers)
    }

    fn with_buffers(
        device: &Device,
        layout: ParamLayout,
        train: bool,
        mut buffers: Buffers,
    ) -> Result<Self> {
        let roles: &[Role] = if train {
            &[Role::Value, Role::Grad, Role::Moment1, Role::Moment2]
        } else {
            &[Role::Value]
        };
        let mut add = |label: String, bytes: u64| -> Result<()> {
            let buffer = Arc::new(device.buffer(&label, bytes)?);
            buffers.insert(label, buffer);
            Ok(())
        };
        for (i, slab) in layout.slabs.iter().enumerate() {
            for role in roles {
                add(layout.label(*role, i), 4 * slab.len as u64)?;
            }
        }
        for spec in layout.specs.iter().filter(|spec| !spec.trainable) {
            add(fixed_label(&spec.name), 4 * spec.len() as u64)?;
        }
        for (label, len) in layout.halves() {
            add(label, Precision::F16.bytes() * len as u64)?;
        }
        if train {
            add(STATE.to_owned(), size_of::<State>() as u64)?;
        }
        device.check()?;
        let halving = match layout.precision {
            Precision::F32 => None,
            Precision::F16 => {
                Some(Program::build(device, &layout.record_halves(device.target()), &buffers)?)
            }
        };
        let store = Self { device: device.clone(), layout, buffers, halving };
        if train {
            store.set_state(State::default());
        }
        Ok(store)
    }

    /// Allocates zeroed memory for a moving average of every trained parameter. Returns the parameters with their
    /// averages in place of their values, in the same memory at any time: for use in f32, as the copies in f16 follow
    /// the values.
    ///
    /// # Errors
    /// [`Error::DoesNotFit`] or [`Error::Device`] if the device has not enough.
    pub fn add_average(&mut self) -> Result<Self> {
        let mut averaged = self.buffers.clone();
        for (i, slab) in self.layout.slabs.iter().enumerate() {
            let label = self.layout.label(Role::Average, i);
            let buffer = Arc::new(self.device.buffer(&label, 4 * slab.len as u64)?);
            averaged.insert(self.layout.label(Role::Value, i), Arc::clone(&buffer));
            self.buffers.insert(label, buffer);
        }
        self.device.check()?;
        let layout = ParamLayout { precision: Precision::F32, ..self.layout.clone() };
        Ok(Self { device: self.device.clone(), layout, buffers: averaged, halving: None })
    }

    /// The layout.
    pub fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    /// The buffers by label, for [`crate::program::Program::build`].
    pub fn buffers(&self) -> &Buffers {
        &self.buffers
    }

    /// Sets the tensors of one role. Parameters that the map lacks stay as they are; entries that
    /// the table lacks are ignored.
    ///
    /// # Errors
    /// [`Error::BadWeights`] if a tensor has another number of values.
    pub fn load(&self, role: Role, tensors: &TensorMap) -> Result<()> {
        for (spec, place) in self.layout.specs.iter().zip(&self.layout.places) {
            let Some(tensor) = tensors.get(&spec.name) else { continue };
            if tensor.data.len() != spec.len() {
                let problem = format!(
                    "{} has shape {:?}, this model needs {:?}",
                    spec.name, tensor.shape, spec.shape
                );
                return Err(Error::BadWeights { problem });
            }
            if let Some((label, first)) = self.place(role, &spec.name, *place) {
                self.device.write(&self.buffers[&label], first, bytemuck::cast_slice(&tensor.data));
            }
        }
        if role == Role::Value {
            self.halve();
        }
        Ok(())
    }

    /// Makes the copy in f16 follow the values, by the device's own rounding, as the optimiser does.
    fn halve(&self) {
        if let Some(halving) = &self.halving {
            halving.submit();
        }
    }

    /// Sets some values of one role of the parameter `name`, from the value `first` on.
    ///
    /// # Panics
    /// If there is no such parameter, it has fewer values, or is fixed and the role is of trained ones.
    pub fn write(&self, role: Role, name: &str, first: usize, values: &[f32]) {
        let index = self.layout.specs.iter().position(|spec| spec.name == name);
        let index = index.unwrap_or_else(|| panic!("no parameter {name}"));
        assert!(first + values.len() <= self.layout.specs[index].len(), "{name} is smaller");
        let place = self.place(role, name, self.layout.places[index]);
        let (label, start) = place.expect("a role of the parameter");
        let offset = start + 4 * first as u64;
        self.device.write(&self.buffers[&label], offset, bytemuck::cast_slice(values));
        if role == Role::Value {
            self.halve();
        }
    }

    /// Waits until everything written has arrived.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] or [`Error::DeviceLost`] if it did not.
    pub async fn settle(&self) -> Result<()> {
        if let Some(buffer) = self.buffers.values().next() {
            self.device.read(buffer, 0, 4).await?;
        }
        Ok(())
    }

    /// Where the tensors of one role lie: part, first value there, and what it is. Parts are the slabs, then a
    /// buffer for each fixed parameter, which has nothing but its value.
    pub fn stored(&self, role: Role) -> Vec<(usize, usize, &ParamSpec)> {
        let mut fixed = self.layout.slabs.len()..;
        let specs = self.layout.specs.iter().zip(&self.layout.places);
        let stored = specs.filter_map(|(spec, place)| match *place {
            Some((slab, first)) => Some((slab, first, spec)),
            None if role == Role::Value => fixed.next().map(|part| (part, 0, spec)),
            None => None,
        });
        stored.collect()
    }

    /// Number of parts of one role, see [`Self::stored`].
    pub fn parts(&self, role: Role) -> usize {
        let fixed = self.layout.specs.iter().filter(|spec| !spec.trainable).count();
        self.layout.slabs.len() + if role == Role::Value { fixed } else { 0 }
    }

    /// Values of a slab.
    pub fn part_len(&self, slab: usize) -> usize {
        self.layout.slabs[slab].len
    }

    /// Reads the values of one part, see [`Self::stored`].
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    ///
    /// # Panics
    /// If there is no such part.
    pub async fn read_part(&self, role: Role, part: usize) -> Result<Vec<f32>> {
        let label = match part.checked_sub(self.layout.slabs.len()) {
            None => self.layout.label(role, part),
            Some(fixed) => {
                let mut specs = self.layout.specs.iter().filter(|spec| !spec.trainable);
                fixed_label(&specs.nth(fixed).expect("a part of this store").name)
            }
        };
        let buffer = &self.buffers[&label];
        let bytes = self.device.read(buffer, 0, buffer.bytes()).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// Reads the tensors of one role.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    pub async fn read(&self, role: Role) -> Result<TensorMap> {
        let mut parts = Vec::new();
        for part in 0..self.parts(role) {
            parts.push(self.read_part(role, part).await?);
        }
        let mut tensors = TensorMap::new();
        for (part, first, spec) in self.stored(role) {
            let data = parts[part][first..first + spec.len()].to_vec();
            tensors.insert(spec.name.clone(), HostTensor::new(spec.shape.clone(), data));
        }
        Ok(tensors)
    }

    fn place(
        &self,
        role: Role,
        name: &str,
        place: Option<(usize, usize)>,
    ) -> Option<(String, u64)> {
        match place {
            Some((slab, first)) => Some((self.layout.label(role, slab), 4 * first as u64)),
            None => (role == Role::Value).then(|| (fixed_label(name), 0)),
        }
    }

    /// Sets the optimiser's state that is not per parameter.
    ///
    /// # Panics
    /// If the store was not made for training.
    pub fn set_state(&self, state: State) {
        self.device.write(&self.buffers[STATE], 0, bytemuck::bytes_of(&state));
    }

    /// Reads the optimiser's state that is not per parameter.
    ///
    /// # Errors
    /// [`Error::Device`] if the device failed.
    ///
    /// # Panics
    /// If the store was not made for training.
    pub async fn state(&self) -> Result<State> {
        let bytes = self.device.read(&self.buffers[STATE], 0, size_of::<State>() as u64).await?;
        Ok(bytemuck::pod_read_unaligned(&bytes))
    }
}
