//! Measuring which tiles suit a gpu.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pollster::block_on;
use webmae::gpu::{Gpu, GpuOptions};
use webmae::kernels::{
    AttentionForm, AttentionShape, Division, KernelTarget, Precision, ProductLayout, ProductShape,
    Products, ProgramShapes, Tiling,
};
use webmae::ops;
use webmae::program::{Buffers, Device, Program, Recorder};
use webmae::tune::{AttentionTuning, Check, Effort, Tuning, key};

fn open(options: GpuOptions) -> Gpu {
    block_on(Gpu::new(&options)).expect("the tests need a graphics adapter")
}

/// Small, and quickly checked: software compiles and multiplies slowly.
const EFFORT: Effort = Effort {
    budget: Duration::from_secs(600),
    all: true,
    check: Check { sizes: [140, 132, 520], runs: 3 },
};

/// Products of every layout, the weight's gradient in several parts, and attention.
fn shapes(operands: Precision) -> ProgramShapes {
    let of = |layout, sizes| ProductShape::new(operands, layout, sizes);
    ProgramShapes {
        products: BTreeSet::from([
            of(ProductLayout::Nt, [40, 64, 32]),
            of(ProductLayout::Nn, [40, 32, 64]),
            of(ProductLayout::Tn, [64, 32, 400]),
        ]),
        attentions: BTreeSet::from([AttentionShape::new(operands, 20, 16)]),
    }
}

#[test]
fn every_tiling_is_measured() {
    let gpu = open(GpuOptions::default());
    let (before, target) = (gpu.allocated_bytes(), gpu.target());
    let mut shapes = shapes(Precision::F32);
    if gpu.check_precision(Precision::F16).is_ok() {
        shapes.extend(&self::shapes(Precision::F16));
    }
    let mut told = Vec::new();
    let mut tell = async |done, all| told.push((done, all));
    let tuning = block_on(Tuning::measure(&gpu, &shapes, EFFORT, &mut tell)).expect("rates");
    assert_eq!(tuning.refused, BTreeSet::new());
    assert!(told.iter().any(|(done, all)| done == all), "{told:?}");
    assert_eq!(
        tuning.shapes.iter().map(|tuned| tuned.shape).collect::<BTreeSet<_>>(),
        shapes.products
    );
    for tuned in &tuning.shapes {
        let measured: BTreeSet<usize> =
            tuned.measured.iter().map(|measured| measured.division.tiling).collect();
        let offered: BTreeSet<usize> =
            (0..Tiling::ALL.len()).filter(|&i| target.offers(i, &tuned.shape)).collect();
        assert_eq!(measured, offered, "{:?}", tuned.shape);
        assert!(tuned.measured.is_sorted_by(|a, b| a.gflops >= b.gflops), "{tuned:?}");
        assert!(tuned.measured.iter().all(|m| m.gflops.is_finite() && m.gflops > 0.0));
        assert_eq!(tuned.chosen, tuned.measured[0].division, "the fastest, as all are right");
        let most = tuned.measured.iter().map(|measured| measured.division.parts).max();
        let has_parts = tuned.shape.sizes[2] >= 256;
        assert_eq!(most > Some(1), has_parts, "{tuned:?}");
    }
    assert_eq!(tuning.refused_attention, BTreeSet::new());
    let attentions = tuning.attentions.iter().map(|tuned| tuned.shape);
    assert_eq!(attentions.collect::<BTreeSet<_>>(), shapes.attentions);
    for AttentionTuning { shape, measured, chosen } in &tuning.attentions {
        let forms: BTreeSet<AttentionForm> =
            measured.iter().map(|measured| measured.form).collect();
        let is_offered = |form: &AttentionForm| target.offers_attention(*form, shape);
        let offered: BTreeSet<AttentionForm> =
            AttentionForm::ALL.into_iter().filter(is_offered).collect();
        assert!(
            if offered.len() > 1 { forms == offered } else { forms.is_empty() },
            "{shape:?}: {forms:?}"
        );
        assert_eq!(*chosen, measured.first().map_or(AttentionForm::Staged, |fastest| fastest.form));
    }
    assert_eq!(gpu.allocated_bytes(), before, "nothing stays on the gpu");
    let mut products = Products::default();
    tuning.add_to(&mut products);
    gpu.set_products(products);
    for tuned in &tuning.shapes {
        assert_eq!(gpu.target().division(&tuned.shape), tuned.chosen);
    }
    for tuned in &tuning.attentions {
        assert_eq!(gpu.target().attention(&tuned.shape), tuned.chosen);
    }
}

/// Without time, what is likely to be right is measured once.
#[test]
fn a_budget_is_kept() {
    let gpu = open(GpuOptions::default());
    let effort = Effort { budget: Duration::ZERO, all: false, ..EFFORT };
    let shapes = shapes(Precision::F32);
    let tuning =
        block_on(Tuning::measure(&gpu, &shapes, effort, &mut async |_, _| ())).expect("rates");
    for tuned in tuning.shapes {
        assert_eq!(tuned.chosen.tiling, Tiling::MIDDLING);
    }
}

/// Programs say what they need before they are built, and take what was chosen.
#[test]
fn programs_are_recorded_as_was_chosen_for_them() {
    let gpu = open(GpuOptions::default());
    let asked: Arc<Mutex<Vec<(usize, bool)>>> = Arc::default();
    let log = Arc::clone(&asked);
    gpu.on_products(move |gpu, shapes, trains| {
        log.lock().unwrap().push((shapes.products.len(), trains));
        let mut products = gpu.products();
        for &shape in &shapes.products {
            products.choose(shape, Division { tiling: 0, parts: 1 });
        }
        gpu.set_products(products);
        Ok(())
    });
    let device = Device::from(gpu);
    let recorded = Cell::new(0);
    let record = |target: KernelTarget| {
        recorded.set(recorded.get() + 1);
        let mut rec = Recorder::new(target, false);
        let (x, weight) = (rec.external("x", [8, 16]), rec.external("weight", [32, 16]));
        let y = ops::linear(&mut rec, x, weight, None);
        rec.keep(y, "y");
        rec
    };
    for expected in [2, 3] {
        Program::record(&device, &Buffers::new(), record).expect("a program");
        assert_eq!(recorded.get(), expected, "again only where the choice has changed");
    }
    assert_eq!(*asked.lock().unwrap(), [(1, false), (1, false)]);
}

/// What is left aside is not used, and choices made with it are not taken for such without.
#[test]
fn features_can_be_left_aside() {
    let open_without = |without_cooperative_matrices, without_subgroups| {
        open(GpuOptions { without_cooperative_matrices, without_subgroups, ..Default::default() })
    };
    let (all, without, neither) =
        (open_without(false, false), open_without(true, false), open_without(false, true));
    assert_eq!(all.target().cooperative, all.adapter().cooperative);
    assert_eq!(without.target().subgroups, all.target().subgroups);
    assert!(!neither.target().subgroups);
    for gpu in [without, neither] {
        assert!(!gpu.target().cooperative.any());
        let [own, offered] = [&gpu, &all].map(|gpu| gpu.target());
        let lacks = own.cooperative != offered.cooperative || own.subgroups != offered.subgroups;
        assert_eq!(key(&gpu) != key(&all), lacks);
    }
}
