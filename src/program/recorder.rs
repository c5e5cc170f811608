//! Recording: ops append dispatches on shaped tensors, and, where a gradient is wanted, what to
//! record for it later. Nothing touches a device here.

use std::collections::HashMap;
use std::mem;

#[cfg(feature = "gpu")]
use crate::kernels::{AttentionShape, ProductShape, ProgramShapes};
use crate::kernels::{
    BINDING_ALIGNMENT, Binding, ConstantList, Element, KernelKey, KernelTarget, Launch, Precision,
    Reduction, Shader, Types, add,
};

/// A tensor of 32-bit words (f32 or u32), or of f16, in a [`Recorder`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tensor(pub(super) usize);

/// Values of a stand-in: no binding is smaller than the largest structure in `shaders/`.
const STAND_IN: usize = 16;

/// Where a tensor lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In memory that outlives the program's runs: which buffer, and the first value.
    External { buffer: usize, first: usize },
    /// In memory that the planner may give to others before and after.
    Transient,
}

pub(super) struct TensorInfo {
    pub label: String,
    pub shape: Vec<usize>,
    pub place: Place,
    pub precision: Precision,
    /// Whether it stands in for one that the kernel does not touch, of whatever precision.
    pub is_unused: bool,
    needs_grad: bool,
    grad: Option<Tensor>,
}

impl TensorInfo {
    pub fn bytes(&self) -> u64 {
        self.precision.bytes() * self.shape.iter().product::<usize>() as u64
    }
}

pub(super) struct External {
    pub label: String,
    pub bytes: u64,
}

/// One recorded kernel launch.
pub(super) struct Recorded {
    pub kernel: KernelKey,
    pub uniform: Vec<u32>,
    pub bindings: Vec<Tensor>,
    #[cfg_attr(
        not(feature = "gpu"),
        expect(dead_code, reason = "twins divide their work themselves")
    )]
    pub groups: u32,
    pub flops: u64,
    /// Where in the model it was recorded, e.g. `blocks.3.attn`.
    pub scope: String,
}

impl Recorded {
    /// The bindings with whether the kernel writes them.
    pub fn accesses(&self) -> impl Iterator<Item = (Tensor, bool)> {
        let bindings = Shader::named(self.kernel.shader).bindings;
        self.bindings.iter().copied().zip(bindings.iter().map(|binding| binding.writes))
    }
}

/// How much a launch does.
#[derive(Debug, Clone, Copy)]
pub struct Work {
    /// Workgroups.
    pub groups: usize,
    /// Floating-point operations of matrix work.
    pub flops: u64,
}

pub(super) type Backward = Box<dyn FnOnce(&mut Recorder)>;

/// Records a program: tensors, dispatches in order, and the tape for reverse-mode differentiation.
pub struct Recorder {
    target: KernelTarget,
    precision: Precision,
    differentiates: bool,
    scope: String,
    pub(super) tensors: Vec<TensorInfo>,
    pub(super) externals: Vec<External>,
    pub(super) recorded: Vec<Recorded>,
    pub(super) cleared: Vec<Tensor>,
    params: HashMap<String, Tensor>,
    #[cfg(feature = "gpu")]
    shapes: ProgramShapes,
    pub(super) tape: Vec<Backward>,
    pub(super) recomputes: bool,
    pub(super) recomputed_parts: usize,
}

impl Recorder {
    /// An empty recording for devices of a kind; with `differentiates`, ops also put their backward
    /// pass on the tape.
    pub fn new(target: impl Into<KernelTarget>, differentiates: bool) -> Self {
        Self {
            target: target.into(),
            precision: Precision::F32,
            differentiates,
            scope: String::new(),
            tensors: Vec::new(),
            externals: Vec::new(),
            recorded: Vec::new(),
            cleared: Vec::new(),
            params: HashMap::new(),
            #[cfg(feature = "gpu")]
            shapes: ProgramShapes::default(),
            tape: Vec::new(),
            recomputes: false,
            recomputed_parts: 0,
        }
    }

    /// Which kernels to record.
    pub fn target(&self) -> &KernelTarget {
        &self.target
    }

    /// Whether ops also put their backward pass on the tape.
    #[cfg(feature = "gpu")]
    pub fn differentiates(&self) -> bool {
        self.differentiates
    }

    /// Notes that a product of this shape was recorded.
    #[cfg(feature = "gpu")]
    pub(crate) fn note_product(&mut self, shape: ProductShape) {
        self.shapes.products.insert(shape);
    }

    /// Notes that attention of this shape was recorded.
    #[cfg(feature = "gpu")]
    pub(crate) fn note_attention(&mut self, shape: AttentionShape) {
        self.shapes.attentions.insert(shape);
    }

    /// The shapes of the products and the attention that were recorded.
    #[cfg(feature = "gpu")]
    pub fn shapes(&self) -> &ProgramShapes {
        &self.shapes
    }

    /// How weights and activations are kept from now on.
    pub fn set_precision(&mut self, precision: Precision) {
        self.precision = precision;
    }

    /// How weights and activations are kept. In f16 gradients are computed from a scaled loss, lest
    /// small ones vanish.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Names the part of the model that is recorded next.
    pub fn set_scope(&mut self, scope: impl Into<String>) {
        self.scope = scope.into();
    }

    /// The part of the model that is being recorded.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// Extents of a tensor.
    pub fn shape(&self, tensor: Tensor) -> &[usize] {
        &self.tensors[tensor.0].shape
    }

    /// How its values are kept.
    pub fn kept_in(&self, tensor: Tensor) -> Precision {
        self.tensors[tensor.0].precision
    }

    /// Number of values.
    pub fn len(&self, tensor: Tensor) -> usize {
        self.shape(tensor).iter().product()
    }

    /// Whether the recording holds no dispatch.
    pub fn is_empty(&self) -> bool {
        self.recorded.is_empty()
    }

    /// The kernel of every dispatch, in order.
    pub fn kernels(&self) -> impl Iterator<Item = &KernelKey> {
        self.recorded.iter().map(|op| &op.kernel)
    }

    /// The label of a tensor that `op` binds, with the part of the model where that is.
    pub(super) fn label_in(&self, op: &Recorded, tensor: Tensor) -> String {
        let label = &self.tensors[tensor.0].label;
        if op.scope.is_empty() || label.contains(&op.scope) {
            return label.clone();
        }
        format!("{label} ({})", op.scope)
    }

    /// Extent of the last dimension, and the number of rows before it.
    pub fn rows_and_dim(&self, tensor: Tensor) -> (usize, usize) {
        let (dim, leading) = self.shape(tensor).split_last().expect("a tensor with a dimension");
        (leading.iter().product(), *dim)
    }

    fn push(
        &mut self,
        label: String,
        shape: Vec<usize>,
        place: Place,
        precision: Precision,
    ) -> Tensor {
        self.tensors.push(TensorInfo {
            label,
            shape,
            place,
            precision,
            is_unused: false,
            needs_grad: false,
            grad: None,
        });
        Tensor(self.tensors.len() - 1)
    }

    /// A tensor of words that lives from its first write to its last use.
    pub fn transient(&mut self, name: &str, shape: impl Into<Vec<usize>>) -> Tensor {
        self.transient_of(Precision::F32, name, shape)
    }

    /// The same of values that are kept like those of `like`.
    pub fn transient_like(
        &mut self,
        like: Tensor,
        name: &str,
        shape: impl Into<Vec<usize>>,
    ) -> Tensor {
        self.transient_of(self.kept_in(like), name, shape)
    }

    /// The same of values that are kept in `precision`.
    pub fn transient_of(
        &mut self,
        precision: Precision,
        name: &str,
        shape: impl Into<Vec<usize>>,
    ) -> Tensor {
        let label =
            if self.scope.is_empty() { name.into() } else { format!("{}.{name}", self.scope) };
        self.push(label, shape.into(), Place::Transient, precision)
    }

    /// A buffer of words of its own, found under `label` when the program is built.
    pub fn external(&mut self, label: &str, shape: impl Into<Vec<usize>>) -> Tensor {
        self.external_of(Precision::F32, label, shape)
    }

    /// The same of values that are kept in `precision`.
    pub fn external_of(
        &mut self,
        precision: Precision,
        label: &str,
        shape: impl Into<Vec<usize>>,
    ) -> Tensor {
        let shape = shape.into();
        let bytes = precision.bytes() * shape.iter().product::<usize>() as u64;
        let buffer = self.external_buffer(label, bytes);
        self.push(label.to_owned(), shape, Place::External { buffer, first: 0 }, precision)
    }

    fn external_buffer(&mut self, label: &str, bytes: u64) -> usize {
        if let Some(i) = self.externals.iter().position(|e| e.label == label) {
            return i;
        }
        self.externals.push(External { label: label.to_owned(), bytes });
        self.externals.len() - 1
    }

    /// Whether there is an external buffer called `label`.
    pub fn has_external(&self, label: &str) -> bool {
        self.externals.iter().any(|external| external.label == label)
    }

    /// Values from the value `first` on of the external buffer `label`, which holds `len` values in all,
    /// kept in `precision`.
    ///
    /// # Panics
    /// If the range does not begin where bindings may.
    pub fn external_range(
        &mut self,
        precision: Precision,
        (label, len): (&str, usize),
        first: usize,
        name: &str,
        shape: &[usize],
    ) -> Tensor {
        let bytes = |values: usize| precision.bytes() * values as u64;
        assert_eq!(bytes(first) % BINDING_ALIGNMENT, 0, "{name} is not aligned in {label}");
        let buffer = self.external_buffer(label, bytes(len));
        let place = Place::External { buffer, first };
        self.push(name.to_owned(), shape.to_vec(), place, precision)
    }

    /// Keeps a transient tensor's value after the run, in a buffer called `label`.
    pub fn keep(&mut self, tensor: Tensor, label: &str) {
        let buffer = self.external_buffer(label, self.tensors[tensor.0].bytes());
        self.tensors[tensor.0].place = Place::External { buffer, first: 0 };
    }

    /// Zeroes a tensor at the start of every run.
    pub fn clear_first(&mut self, tensor: Tensor) {
        self.cleared.push(tensor);
    }

    /// Makes `tensor` the parameter `name`; with `grad`, gradients are accumulated there.
    pub fn add_param(&mut self, name: &str, tensor: Tensor, grad: Option<Tensor>) {
        self.tensors[tensor.0].needs_grad = self.differentiates && grad.is_some();
        self.tensors[tensor.0].grad = grad;
        self.params.insert(name.to_owned(), tensor);
    }

    /// The parameter `name`, if the model has it.
    pub fn find_param(&self, name: &str) -> Option<Tensor> {
        self.params.get(name).copied()
    }

    /// The parameter `name`.
    ///
    /// # Panics
    /// If the model has none: the parameter table and the network disagree.
    pub fn param(&self, name: &str) -> Tensor {
        self.find_param(name).unwrap_or_else(|| panic!("no parameter {name}"))
    }

    /// Where the gradient of a trained parameter is accumulated.
    pub fn param_grad(&self, param: Tensor) -> Option<Tensor> {
        let info = &self.tensors[param.0];
        if info.needs_grad { info.grad } else { None }
    }

    /// Asks for the gradient of a tensor that is not a parameter, for tests.
    pub fn require_grad(&mut self, tensor: Tensor) {
        self.tensors[tensor.0].needs_grad = true;
    }

    /// Whether anything behind `tensor` is trained.
    pub fn needs_grad(&self, tensor: Tensor) -> bool {
        self.tensors[tensor.0].needs_grad
    }

    /// Whether there will be a backward pass through something computed from `inputs`.
    pub fn is_differentiated(&self, inputs: &[Tensor]) -> bool {
        self.differentiates && inputs.iter().any(|&input| self.needs_grad(input))
    }

    /// Stand-in for a binding that the recorded variant of a kernel does not read.
    pub fn unused(&mut self) -> Tensor {
        self.stand_in("unused")
    }

    /// Stand-in for a binding that the recorded variant of a kernel does not write.
    pub fn unused_out(&mut self) -> Tensor {
        self.stand_in("unused output")
    }

    fn stand_in(&mut self, label: &str) -> Tensor {
        let tensor = self.external(label, [STAND_IN]);
        self.tensors[tensor.0].is_unused = true;
        tensor
    }

    /// Appends a launch of the kernel that takes `bindings`, whose tensors decide its element types.
    ///
    /// # Panics
    /// If a written tensor is bound twice, or no variant of the kernel has the tensors' element types.
    pub fn launch<B: Launch<Tensor>>(
        &mut self,
        params: B::Params,
        constants: B::Constants,
        bindings: B,
        groups: usize,
    ) {
        self.launch_work(params, constants, bindings, Work { groups, flops: 0 });
    }

    /// [`Self::launch`] of a kernel that does matrix work.
    pub fn launch_work<B: Launch<Tensor>>(
        &mut self,
        params: B::Params,
        constants: B::Constants,
        bindings: B,
        work: Work,
    ) {
        self.launch_variant((B::KERNEL, constants.list()), params, bindings, work);
    }

    /// [`Self::launch_work`] of a kernel, with its constants, that means the same as the one that takes `bindings`.
    pub fn launch_variant<B: Launch<Tensor>>(
        &mut self,
        (shader, constants): (&'static str, Vec<(&'static str, u32)>),
        params: B::Params,
        bindings: B,
        Work { groups, flops }: Work,
    ) {
        let known = Shader::named(shader);
        assert_eq!(known.twin, B::KERNEL, "{shader} does not take what {} takes", B::KERNEL);
        let bindings: Vec<Tensor> = bindings.into();
        let types = self.types(known, &bindings);
        let reduction = if known.reduces { self.target.reduction() } else { Reduction::default() };
        let entry = Recorded {
            kernel: KernelKey { shader, constants, types, reduction },
            uniform: bytemuck::cast_slice(&[params]).to_vec(),
            bindings,
            groups: u32::try_from(groups).expect("at most u32::MAX workgroups"),
            flops,
            scope: self.scope.clone(),
        };
        for (i, (tensor, writes)) in entry.accesses().enumerate() {
            let again =
                entry.bindings.iter().enumerate().any(|(j, &other)| j != i && other == tensor);
            assert!(!(writes && again), "{shader} writes a tensor that it also binds elsewhere");
        }
        self.recorded.push(entry);
    }

    /// The variant of a kernel that takes `bindings`.
    fn types(&self, shader: &Shader, bindings: &[Tensor]) -> Types {
        let used = || {
            let pairs = bindings.iter().zip(shader.bindings);
            let pairs = pairs.map(|(&tensor, binding)| (&self.tensors[tensor.0], binding));
            pairs.filter(|(tensor, _)| !tensor.is_unused)
        };
        let precision_of = |wanted: Element| {
            let found = used().find(|(_, binding)| binding.element == wanted);
            found.map(|(tensor, _)| tensor.precision)
        };
        let output = precision_of(Element::Output).unwrap_or_default();
        // The end of a product may have no activation but its output.
        let activations = precision_of(Element::Activation).unwrap_or(output);
        let types = Types { activations, output };
        for (tensor, Binding { name, element, .. }) in used() {
            let fits = tensor.precision == element.precision(types);
            let (kernel, label) = (shader.name, &tensor.label);
            assert!(fits, "{kernel} does not take {label} in {:?} as its {name}", tensor.precision);
        }
        types
    }

    /// Marks `output` as depending on `inputs` and, if one of them is trained, puts `backward` on
    /// the tape; it is given the output's gradient.
    pub fn on_backward(
        &mut self,
        output: Tensor,
        inputs: &[Tensor],
        backward: impl FnOnce(&mut Recorder, Tensor) + 'static,
    ) {
        if !self.is_differentiated(inputs) {
            return;
        }
        self.tensors[output.0].needs_grad = true;
        let scope = self.scope.clone();
        self.tape.push(Box::new(move |rec| {
            let Some(grad) = rec.tensors[output.0].grad else { return };
            rec.set_scope(scope);
            backward(rec, grad);
        }));
    }

    /// Records the backward pass of everything on the tape, last op first. Ops that compute a loss
    /// have set the first gradients.
    pub fn backward(&mut self) {
        let tape = mem::take(&mut self.tape);
        self.backward_of(tape);
    }

    /// The same of a part's tape.
    pub(super) fn backward_of(&mut self, tape: Vec<Backward>) {
        for backward in tape.into_iter().rev() {
            backward(self);
        }
    }

    /// The gradient of `tensor`, once the backward pass has reached it.
    pub fn grad(&self, tensor: Tensor) -> Option<Tensor> {
        self.tensors[tensor.0].grad
    }

    /// Hands `grad` to `tensor`, which must have none yet, without a copy.
    pub fn set_grad(&mut self, tensor: Tensor, grad: Tensor) {
        assert!(self.tensors[tensor.0].grad.is_none(), "the gradient is already set");
        self.tensors[tensor.0].grad = Some(grad);
    }

    /// Where an op that can add to what is there writes the gradient of `tensor`, and whether it
    /// must add. Call it once per use of the tensor.
    pub fn grad_target(&mut self, tensor: Tensor) -> (Tensor, bool) {
        if let Some(grad) = self.tensors[tensor.0].grad {
            return (grad, true);
        }
        let label = format!("d {}", self.tensors[tensor.0].label);
        let TensorInfo { shape, precision, .. } = &self.tensors[tensor.0];
        let grad = self.push(label, shape.clone(), Place::Transient, *precision);
        self.tensors[tensor.0].grad = Some(grad);
        (grad, false)
    }

    /// Adds `grad` to the gradient of `tensor`: free for the first use, a kernel for later ones.
    pub fn add_grad(&mut self, tensor: Tensor, grad: Tensor) {
        if !self.needs_grad(tensor) {
            return;
        }
        match self.tensors[tensor.0].grad {
            None => self.tensors[tensor.0].grad = Some(grad),
            Some(sum) => {
                let count = self.len(sum);
                let params = add::Params { count: count as u32 };
                let bindings = add::Bindings { x: grad, out: sum };
                self.launch(params, add::Constants::default(), bindings, count.div_ceil(64));
            }
        }
    }
}
