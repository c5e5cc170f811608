//! Every variant of every kernel that the models record.

use std::collections::{BTreeMap, BTreeSet};

use webmae::kernels::{
    AttentionForm, AttentionShape, CooperativeMatrices, DEFAULT_MAX_BINDING, Division, KernelKey,
    KernelTarget, Precision, Processor, ProductLayout, ProductShape, Products, Reduction, Tiling,
    Types,
};
use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::{Input, classify};
use webmae::model::objective::{Purpose, masked_objective, predicted_pixels};
use webmae::model::params::mae_params;
use webmae::model::store::ParamLayout;
use webmae::ops::optimizer::{
    AdamW, LarsTensors, Optimizer, STATE_WORDS, STEP_WORDS, halve, lars_param,
};
use webmae::ops::{self, BatchNorm, Dropout, Heads, Target};
use webmae::program::Recorder;
use webmae::train::paper::{PRETRAIN_ADAMW, PROBE_LARS};
use webmae::train::step::{MaskSource, StepConfig, Task};
use webmae::verify::awkward_models;
use webmae::{ModelConfig, PatchTarget, Variant};

/// The variants by shader: element types, way of reducing, and constants.
pub type Variants = BTreeMap<&'static str, BTreeSet<(Types, Reduction, Vec<(&'static str, u32)>)>>;

fn collect(variants: &mut Variants, rec: &Recorder) {
    for KernelKey { shader, constants, types, reduction } in rec.kernels() {
        variants.entry(shader).or_default().insert((*types, *reduction, constants.clone()));
    }
}

/// Those that `webmae verify` compares, and in every variant large and uneven heads, and all targets.
fn models() -> Vec<ModelConfig> {
    let mut models: Vec<_> = awkward_models().into_iter().map(|(_, model)| model).collect();
    let targets = [PatchTarget::Pca { components: 16 }, PatchTarget::Codebook { vocabulary: 1000 }];
    for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
        let tiny = ModelConfig { variant, ..ModelConfig::preset("tiny").expect("a preset") };
        for dim_head in [31, 64, 128] {
            let mut model = tiny.clone();
            model.encoder.dim_head = dim_head;
            models.push(model);
        }
        models.extend(targets.map(|target| ModelConfig { target, ..tiny.clone() }));
    }
    models
}

fn record_models(variants: &mut Variants, target: &KernelTarget, precision: Precision) {
    let optimizer = AdamW { clip_norm: 1.0, ema: Some(0.9999), ..PRETRAIN_ADAMW };
    for model in models() {
        let layout =
            ParamLayout::with_precision(mae_params(&model), DEFAULT_MAX_BINDING, precision);
        let masks = MaskSource::Generated;
        let config = StepConfig {
            task: Task::Masked { model: model.clone(), masks },
            batch_size: 3,
            grad_accum: 1,
            recompute: false,
            precision,
            optimizer: Optimizer::AdamW(optimizer),
            layer_decay: 1.0,
        };
        collect(variants, &config.record_batch(target, &layout));
        collect(variants, &config.record_update(target, &layout));
        let mut rec = Recorder::new(target, false);
        layout.declare(&mut rec, false);
        let objective = masked_objective(&mut rec, &model, 3, masks, Purpose::Evaluation);
        predicted_pixels(&mut rec, &model, objective.decoded.pred);
        collect(variants, &rec);
    }
}

fn record_classifiers(variants: &mut Variants, target: &KernelTarget) {
    for (pool, head) in
        [(Pool::Cls, Head::Full), (Pool::Mean, Head::Full), (Pool::Cls, Head::Probe)]
    {
        let classifier = ClassifierConfig {
            model: ModelConfig::preset("tiny").expect("a preset"),
            pool,
            head,
            classes: 1000,
            trainable: if head == Head::Probe { Trainable::None } else { Trainable::All },
            learned_positions: true,
            drop_path: if pool == Pool::Mean { 0.1 } else { 0.0 },
        };
        let layout = ParamLayout::new(classifier.params(), DEFAULT_MAX_BINDING);
        let config = StepConfig {
            task: Task::Classify { classifier: classifier.clone(), input: Input::Images },
            batch_size: 3,
            grad_accum: 1,
            recompute: false,
            precision: Precision::F32,
            optimizer: Optimizer::Lars(PROBE_LARS),
            layer_decay: 0.75,
        };
        collect(variants, &config.record_batch(target, &layout));
        collect(variants, &config.record_update(target, &layout));
        let mut rec = Recorder::new(target, true);
        layout.declare(&mut rec, true);
        let logits = classify(&mut rec, &classifier, 3, Input::Images, false).logits;
        let labels = rec.external("labels", [3]);
        let loss = rec.external("loss", [1]);
        ops::cross_entropy(&mut rec, logits, Target::Labels { labels, smoothing: 0.1 }, 3, loss);
        ops::softmax(&mut rec, logits);
        collect(variants, &rec);
    }
}

/// The linear probe's ops, and residuals and softmax on their own.
fn record_rest(variants: &mut Variants, target: &KernelTarget) {
    for dim in [7, 192, 2048] {
        let mut rec = Recorder::new(target, true);
        let x = rec.external("x", [9, dim]);
        rec.require_grad(x);
        for train in [true, false] {
            let norm = BatchNorm {
                running_mean: rec.external("mean", [dim]),
                running_var: rec.external("var", [dim]),
                eps: 1e-6,
                momentum: 0.1,
                train,
            };
            let input = if train { x } else { rec.external("eval", [9, dim]) };
            let y = ops::batch_norm(&mut rec, input, norm);
            let dy = rec.external("dy", [9, dim]);
            rec.set_grad(y, dy);
        }
        let logits = rec.external("logits", [9, dim]);
        rec.require_grad(logits);
        let y = ops::softmax(&mut rec, logits);
        let dy = rec.external("dy softmax", [9, dim]);
        rec.set_grad(y, dy);
        let (a, b) = (rec.external("a", [dim]), rec.external("b", [dim]));
        rec.require_grad(a);
        let y = ops::residual(&mut rec, a, b);
        let (da, dy) = (rec.external("da", [dim]), rec.external("dy residual", [dim]));
        rec.set_grad(a, da);
        rec.set_grad(y, dy);
        rec.backward();
        let step = rec.external("step", [STEP_WORDS]);
        let state = rec.external("state", [STATE_WORDS]);
        for shape in [vec![dim], vec![9, dim]] {
            let [grad, value, velocity] = ["grad", "value", "velocity"]
                .map(|n| rec.external(&format!("{n} {}", shape.len()), shape.clone()));
            lars_param(&mut rec, PROBE_LARS, [step, state], LarsTensors { grad, value, velocity });
        }
        collect(variants, &rec);
    }
}

/// What a store records for mixed precision.
fn record_halves(variants: &mut Variants, target: &KernelTarget) {
    let mut rec = Recorder::new(target, false);
    let values = rec.external("values", [64]);
    let halves = rec.external_of(Precision::F16, "halves", [64]);
    halve(&mut rec, values, halves);
    collect(variants, &rec);
}

/// What GPUs have of fragments and of workgroup memory, in KiB: Apple's, NVIDIA's, AMD's, and one with WebGPU's default.
fn kinds_of_fragments() -> [(CooperativeMatrices, u32); 4] {
    let apple = CooperativeMatrices {
        f32: Some(8),
        f16: Some(8),
        subgroup_sizes: [32, 32],
        scalar_pointers: true,
    };
    let nvidia = CooperativeMatrices { f32: None, f16: Some(16), scalar_pointers: false, ..apple };
    let amd = CooperativeMatrices { subgroup_sizes: [32, 64], ..nvidia };
    let small = CooperativeMatrices { scalar_pointers: false, ..apple };
    [(apple, 32), (nvidia, 48), (amd, 64), (small, 16)]
}

/// Linear layers and an MLP in every tiling, of whole fragments and with enough rows for workgroups to share a weight
/// gradient's sum.
fn record_tilings(variants: &mut Variants, precision: Precision) {
    let kinds = kinds_of_fragments();
    for (tiling, kind) in (0..Tiling::ALL.len()).flat_map(|n| kinds.map(|kind| (n, kind))) {
        let target = KernelTarget {
            processor: Processor::Gpu,
            products: Products::uniform(tiling),
            cooperative: kind.0,
            subgroups: true,
            workgroup_memory: kind.1 << 10,
        };
        let mut rec = Recorder::new(target, true);
        let x = rec.external_of(precision, "x", [576, 32]);
        rec.require_grad(x);
        let [w1, w2] = [("w1", [64, 32]), ("w2", [32, 64])].map(|(name, shape)| {
            let weight = rec.external_of(precision, name, shape);
            let grad = rec.external(&format!("d {name}"), shape);
            rec.add_param(name, weight, Some(grad));
            weight
        });
        let [b1, b2] = [("b1", 64), ("b2", 32)].map(|(name, size)| rec.external(name, [size]));
        let hidden = ops::linear(&mut rec, x, w1, None);
        let y = ops::linear(&mut rec, hidden, w2, None);
        let y = ops::mlp(&mut rec, y, [w1, b1], [w2, b2], Some(x), None);
        let dy = rec.external_of(precision, "dy", [576, 32]);
        rec.set_grad(y, dy);
        rec.backward();
        collect(variants, &rec);
    }
}

/// Attention in a form, for heads of whole and of broken fragments, with and without dropout, wherever it is offered.
fn record_attention(variants: &mut Variants, form: AttentionForm, precision: Precision) {
    for (cooperative, kib) in kinds_of_fragments() {
        let target = KernelTarget {
            processor: Processor::Gpu,
            products: Products::default().with_attention(form),
            cooperative,
            subgroups: true,
            workgroup_memory: kib << 10,
        };
        for (dim, rate) in [16, 24, 32, 64, 80].into_iter().flat_map(|d| [(d, 0.0), (d, 0.1)]) {
            let shape = AttentionShape::new(precision, 197, dim);
            if target.attention(&shape) != form {
                continue;
            }
            let mut rec = Recorder::new(&target, true);
            let qkv = rec.external_of(precision, "qkv", [2, 197, 3 * 2 * dim]);
            rec.require_grad(qkv);
            let dropout = (rate > 0.0).then(|| Dropout {
                site: 1,
                rate,
                step: rec.external("step", [STEP_WORDS]),
                sample_ids: rec.external("sample_ids", [2]),
            });
            let y = ops::attention(&mut rec, qkv, Heads { count: 2, dim }, dropout);
            let dy = rec.external_of(precision, "dy", [2, 197, 2 * dim]);
            rec.set_grad(y, dy);
            rec.backward();
            collect(variants, &rec);
        }
    }
}

/// Products whose sums workgroups share, by the middling tiling, with every ending.
fn record_shared_sums(variants: &mut Variants, precision: Precision) {
    let mut target = KernelTarget::from(Processor::Gpu);
    for (layout, sizes) in [
        (ProductLayout::Nt, [32, 64, 48]),
        (ProductLayout::Nt, [32, 48, 64]),
        (ProductLayout::Nn, [32, 64, 48]),
        (ProductLayout::Nn, [32, 48, 64]),
    ] {
        let shape = ProductShape::new(precision, layout, sizes);
        target.products.choose(shape, Division { tiling: Tiling::MIDDLING, parts: 2 });
    }
    let mut rec = Recorder::new(target, true);
    let x = rec.external_of(precision, "x", [32, 48]);
    rec.require_grad(x);
    let [w1, w2] = [("w1", [64, 48]), ("w2", [48, 64])].map(|(name, shape)| {
        let weight = rec.external_of(precision, name, shape);
        let grad = rec.external(&format!("d {name}"), shape);
        rec.add_param(name, weight, Some(grad));
        weight
    });
    let [b1, b2] = [("b1", 64), ("b2", 48)].map(|(name, size)| rec.external(name, [size]));
    let y = ops::mlp(&mut rec, x, [w1, b1], [w2, b2], Some(x), None);
    let dy = rec.external_of(precision, "dy", [32, 48]);
    rec.set_grad(y, dy);
    rec.backward();
    collect(variants, &rec);
}

/// All of them.
pub fn variants() -> Variants {
    let mut variants = Variants::new();
    let with_subgroups = KernelTarget { subgroups: true, ..Processor::Gpu.into() };
    for target in [Processor::Gpu.into(), with_subgroups] {
        record_models(&mut variants, &target, Precision::F32);
        record_models(&mut variants, &target, Precision::F16);
        record_halves(&mut variants, &target);
        record_classifiers(&mut variants, &target);
        record_rest(&mut variants, &target);
    }
    for precision in [Precision::F32, Precision::F16] {
        record_shared_sums(&mut variants, precision);
        record_tilings(&mut variants, precision);
        for form in [AttentionForm::Direct, AttentionForm::Cooperative] {
            record_attention(&mut variants, form, precision);
        }
    }
    variants
}
