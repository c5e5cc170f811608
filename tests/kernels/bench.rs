//! One op between named inputs and results, on each of the setups that a kernel must work in.

use std::sync::{Once, OnceLock};

use half::f16;
use pollster::block_on;
use webmae::gpu::GpuOptions;
use webmae::kernels::{
    AttentionForm, CooperativeTile, DEFAULT_WORKGROUP_MEMORY, KernelTarget, Precision, Processor,
    ProductLayout, ProductShape, Products, Tiling,
};
use webmae::philox::Rng;
use webmae::program::{Buffers, Device, Program, Recorder, Tensor};

use crate::common::{compiles_soon, cpu, gpu, open_gpu, skip, within};

/// Where a kernel runs: on which device, and which of its variants.
#[derive(Clone)]
pub struct Setup {
    pub device: &'static Device,
    pub products: Products,
    pub subgroups: bool,
    /// Whether the shaders check themselves.
    pub checked: bool,
    /// Fragments are read through pointers to scalars, wherever they might be read through others.
    pub scalar_pointers: bool,
    /// Bytes of workgroup memory that a kernel may have, at most.
    pub workgroup_memory: u32,
    pub name: &'static str,
}

impl Setup {
    /// Whether it is the CPU twins.
    pub fn is_cpu(&self) -> bool {
        self.device.target().processor == Processor::Cpu
    }

    /// What it is recorded for.
    pub fn target(&self) -> KernelTarget {
        let mut target = self.device.target();
        target.products = self.products.clone();
        target.subgroups = self.subgroups;
        target.cooperative.scalar_pointers |= self.scalar_pointers;
        target.workgroup_memory = target.workgroup_memory.min(self.workgroup_memory);
        target
    }
}

/// The twins; and the shaders, unchecked and checked, with the kernels that run on every adapter.
pub fn setups() -> [Setup; 3] {
    static CHECKED: OnceLock<Device> = OnceLock::new();
    let checked_gpu =
        CHECKED.get_or_init(|| open_gpu(&GpuOptions { checked: true, ..Default::default() }));
    let setup = |device, checked, name| Setup {
        device,
        products: Products::default(),
        subgroups: false,
        checked,
        scalar_pointers: false,
        workgroup_memory: DEFAULT_WORKGROUP_MEMORY,
        name,
    };
    [
        setup(cpu(), false, "cpu"),
        setup(gpu(), false, "gpu"),
        setup(checked_gpu, true, "gpu, checked"),
    ]
}

/// [`setups`], and where the adapter has subgroups, those that compute attention without workgroup memory.
pub fn attention_setups() -> Vec<Setup> {
    let all = all_setups();
    let mut setups = setups().to_vec();
    setups.extend(all.into_iter().filter(|setup| setup.subgroups).map(|setup| {
        let name = if setup.checked { "gpu, direct, checked" } else { "gpu, direct" };
        Setup { products: Products::default().with_attention(AttentionForm::Direct), name, ..setup }
    }));
    setups
}

/// [`setups`], and those that use subgroups, unchecked and checked, where the adapter has some.
pub fn all_setups() -> Vec<Setup> {
    let mut setups = setups().to_vec();
    if !setups[1].device.target().subgroups {
        static SKIP: Once = Once::new();
        SKIP.call_once(|| {
            skip("SUBGROUPS", "no subgroup operations: nor is any other test of them run")
        });
        return setups;
    }
    let names = [(1, "gpu with subgroups"), (2, "gpu with subgroups, checked")];
    let more = names.map(|(at, name)| Setup { subgroups: true, name, ..setups[at].clone() });
    setups.extend(more);
    setups
}

/// Where kernels of cooperative matrices may differ: with all of the adapter's workgroup memory, with as much as every
/// adapter has, and with pointers to scalars; unchecked, and once checked.
pub fn cooperative_kinds() -> [Setup; 4] {
    static GPUS: OnceLock<[Device; 2]> = OnceLock::new();
    let [device, checking] = GPUS.get_or_init(|| {
        [false, true].map(|checked| open_gpu(&GpuOptions { checked, ..Default::default() }))
    });
    let base = Setup {
        device,
        products: Products::default(),
        subgroups: false,
        checked: false,
        scalar_pointers: false,
        workgroup_memory: u32::MAX,
        name: "cooperative",
    };
    [
        base.clone(),
        Setup {
            workgroup_memory: DEFAULT_WORKGROUP_MEMORY,
            name: "cooperative, in little memory",
            ..base.clone()
        },
        Setup { scalar_pointers: true, name: "cooperative, by scalars", ..base.clone() },
        Setup { device: checking, checked: true, name: "cooperative, checked", ..base },
    ]
}

/// Every cooperative tiling that the adapter has for products of `operands`, in all [kinds](cooperative_kinds). On a
/// software driver only those that [compile soon](compiles_soon). None where the adapter has no such matrices, which is
/// reported as what it is: see [`skip`].
pub fn cooperative_setups(operands: Precision) -> Vec<(Setup, CooperativeTile)> {
    let kinds = cooperative_kinds();
    let mut setups = Vec::new();
    let shape = ProductShape::new(operands, ProductLayout::Nt, [256; 3]);
    for (number, tiling) in Tiling::ALL.into_iter().enumerate() {
        let Tiling::Cooperative(tile) = tiling else { continue };
        let offered = kinds.iter().filter(|kind| {
            let slowed = kind.checked || kind.scalar_pointers;
            kind.target().offers(number, &shape)
                && compiles_soon(kind.device, tile, operands, slowed)
        });
        let chosen =
            |kind: &Setup| (Setup { products: Products::uniform(number), ..kind.clone() }, tile);
        setups.extend(offered.map(chosen));
    }
    if setups.is_empty() {
        skip("COOPERATIVE", &format!("no cooperative matrices of {operands:?}"));
    }
    setups
}

/// Failures of one test, reported together.
#[derive(Default)]
pub struct Failures {
    list: Vec<String>,
    checks: usize,
}

impl Failures {
    /// Notes a failure unless the largest difference stays within `tolerance` times the largest
    /// expected magnitude (at least 1e-3, so that results near zero are held to something).
    pub fn compare(&mut self, what: &str, actual: &[f32], expected: &[f64], tolerance: f64) {
        self.checks += 1;
        if actual.len() != expected.len() {
            self.list.push(format!("{what}: {} values, not {}", actual.len(), expected.len()));
            return;
        }
        let scale = expected.iter().fold(1e-3_f64, |max, x| max.max(x.abs()));
        let differences = actual.iter().zip(expected).map(|(&a, &e)| (f64::from(a) - e).abs());
        // NaN counts as the largest difference there is.
        let not_less = |d: f64| if d.is_nan() { f64::INFINITY } else { d };
        let (at, worst) = differences
            .map(not_less)
            .enumerate()
            .fold((0, 0.0), |worst, d| if d.1 > worst.1 { d } else { worst });
        if !within(worst, tolerance * scale) {
            self.list.push(format!(
                "{what}[{at}]: {} instead of {}: {worst:.3e} > {:.3e}",
                actual[at],
                expected[at],
                tolerance * scale
            ));
        }
    }

    pub fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        what: &str,
        actual: &[T],
        wanted: &[T],
    ) {
        self.checks += 1;
        if actual.len() != wanted.len() {
            self.list.push(format!("{what}: {} values, not {}", actual.len(), wanted.len()));
        } else if let Some(at) = (0..actual.len()).find(|&i| actual[i] != wanted[i]) {
            self.list.push(format!("{what}[{at}]: {:?}, not {:?}", actual[at], wanted[at]));
        }
    }

    pub fn ensure(&mut self, holds: bool, what: impl FnOnce() -> String) {
        self.checks += 1;
        if !holds {
            self.list.push(what());
        }
    }

    /// Fails the test if anything was noted, or nothing was checked.
    pub fn report(self) {
        let Self { list, checks } = self;
        assert!(checks > 0, "nothing was checked");
        let shown: Vec<_> = list.iter().take(40).cloned().collect();
        assert!(list.is_empty(), "{} of {checks} failed:\n{}", list.len(), shown.join("\n"));
    }
}

/// `count` normal values; the same ones for the same `stream`.
pub fn normal(stream: u32, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(0x7e57, [stream, count as u32, 0]);
    (0..count).map(|_| rng.normal()).collect()
}

/// The values rounded to those that f16 has.
pub fn halves(values: &[f32]) -> Vec<f32> {
    values.iter().map(|&x| f16::from_f32(x).to_f32()).collect()
}

pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

pub fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

/// A recording with its inputs' values.
pub struct Bench {
    pub rec: Recorder,
    device: &'static Device,
    inputs: Vec<(String, Vec<u8>)>,
}

impl Bench {
    pub fn new(setup: &Setup) -> Self {
        let rec = Recorder::new(setup.target(), true);
        Self { rec, device: setup.device, inputs: Vec::new() }
    }

    pub fn ids(&mut self, name: &str, shape: &[usize], data: &[u32]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{name}");
        self.inputs.push((name.to_owned(), bytemuck::cast_slice(data).to_vec()));
        self.rec.external(name, shape)
    }

    /// An input in f16; found as such. Give it values that f16 has, see [`halves`].
    pub fn half(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Tensor {
        assert_eq!(shape.iter().product::<usize>(), data.len(), "{name}");
        let mut values: Vec<f16> = data.iter().map(|&x| f16::from_f32(x)).collect();
        // Uploads are whole words.
        values.resize(data.len().next_multiple_of(2), f16::ZERO);
        self.inputs.push((name.to_owned(), bytemuck::cast_slice(&values).to_vec()));
        self.rec.external_of(Precision::F16, name, shape)
    }

    /// The same whose gradient is wanted.
    pub fn half_variable(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Tensor {
        let tensor = self.half(name, shape, data);
        self.rec.require_grad(tensor);
        tensor
    }

    /// A matrix in f16 whose gradient, in f32, is added to `existing`; found as `d name`.
    pub fn half_param(
        &mut self,
        name: &str,
        shape: &[usize],
        data: &[f32],
        existing: &[f32],
    ) -> Tensor {
        let tensor = self.half(name, shape, data);
        self.add_param(name, tensor, existing)
    }

    /// Sends `dy`, in f16, back from `y`.
    pub fn half_backward(&mut self, y: Tensor, dy: &[f32]) {
        let shape = self.rec.shape(y).to_vec();
        let dy = self.half("dy", &shape, dy);
        self.rec.set_grad(y, dy);
        self.rec.backward();
    }

    pub fn input(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Tensor {
        self.ids(name, shape, bytemuck::cast_slice(data))
    }

    /// An input whose gradient is wanted.
    pub fn variable(&mut self, name: &str, shape: &[usize], data: &[f32]) -> Tensor {
        let tensor = self.input(name, shape, data);
        self.rec.require_grad(tensor);
        tensor
    }

    /// An input whose gradient is added to `existing`; found as `d name`.
    pub fn variable_with_grad(
        &mut self,
        name: &str,
        shape: &[usize],
        data: &[f32],
        existing: &[f32],
    ) -> Tensor {
        let tensor = self.variable(name, shape, data);
        let grad = self.input(&format!("d {name}"), shape, existing);
        self.rec.set_grad(tensor, grad);
        tensor
    }

    /// A parameter whose gradient is added to `existing`; found as `d name`.
    pub fn param(&mut self, name: &str, shape: &[usize], data: &[f32], existing: &[f32]) -> Tensor {
        let tensor = self.input(name, shape, data);
        self.add_param(name, tensor, existing)
    }

    fn add_param(&mut self, name: &str, tensor: Tensor, existing: &[f32]) -> Tensor {
        let shape = self.rec.shape(tensor).to_vec();
        let grad = self.input(&format!("d {name}"), &shape, existing);
        self.rec.add_param(name, tensor, Some(grad));
        tensor
    }

    /// Sends `dy` back from `y`.
    pub fn backward(&mut self, y: Tensor, dy: &[f32]) {
        let shape = self.rec.shape(y).to_vec();
        let dy = self.input("dy", &shape, dy);
        self.rec.set_grad(y, dy);
        self.rec.backward();
    }

    /// Keeps the gradient of `tensor` as `d name`.
    pub fn keep_grad(&mut self, tensor: Tensor, name: &str) {
        let grad = self.rec.grad(tensor).expect("a gradient");
        self.rec.keep(grad, &format!("d {name}"));
    }

    pub fn run(self) -> Results {
        let program = Program::build(self.device, &self.rec, &Buffers::new()).expect("a program");
        for (name, data) in &self.inputs {
            program.write(name, data);
        }
        program.submit();
        Results { program }
    }
}

/// A program that has run.
pub struct Results {
    pub program: Program,
}

impl Results {
    pub fn f32(&self, name: &str) -> Vec<f32> {
        block_on(self.program.read(name)).expect("a result")
    }

    /// The `count` values of a result in f16.
    pub fn halves(&self, name: &str, count: usize) -> Vec<f32> {
        let mut values: Vec<f16> = block_on(self.program.read(name)).expect("a result");
        values.truncate(count);
        values.into_iter().map(f32::from).collect()
    }

    pub fn u32(&self, name: &str) -> Vec<u32> {
        block_on(self.program.read(name)).expect("a result")
    }
}
