//! Twenty steps of an optimiser: every loss, and the parameters in the end.

use pollster::block_on;
use webmae::data::augment::mix::soft_targets;
use webmae::kernels::Precision;
use webmae::model::classifier::{ClassifierConfig, Head, Pool, Trainable};
use webmae::model::classify::{Input, classify};
use webmae::model::init::init_params;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{AdamW, Lars, Optimizer, Scalars};
use webmae::program::{Program, Recorder};
use webmae::train::step::{BatchData, MaskSource, StepConfig, Task, TrainStep};
use webmae::weights::{Format, Missing, to_hugging_face, to_internal};
use webmae::{ModelConfig, StackConfig};

use crate::case::Case;
use crate::common::{device, max_abs, max_difference};

fn scalars(step: usize, lr: f32) -> Scalars {
    Scalars { step: step as u32, lr, ..Default::default() }
}

fn check_losses(case: &Case, actual: &[f32], failures: &mut Vec<String>) {
    let expected = case.json["loss_f64"].as_array().expect("losses");
    for (step, (&actual, expected)) in actual.iter().zip(expected).enumerate() {
        let expected = expected.as_f64().expect("a loss");
        let relative = (f64::from(actual) - expected).abs() / expected.abs();
        if !(relative <= case.tolerance("loss_rel")) {
            failures
                .push(format!("step {step}: loss {actual}, expected {expected}: {relative:.3e}"));
        }
    }
}

pub fn adamw(case: &Case) -> Vec<String> {
    let model = case.model();
    let device = device();
    let layout = ParamLayout::new(mae_params(&model), device.max_binding());
    let store = ParamStore::new(device, layout, true).expect("memory");
    let format = Format::HuggingFaceMae;
    let initial = to_internal(format, &model, &case.group("param."), Missing::Refused);
    store.load(Role::Value, &initial.expect("weights").tensors).expect("weights");
    let number = |value: &serde_json::Value| value.as_f64().expect("a number") as f32;
    let optimizer = &case.json["optimizer"];
    let [steps, batch_size] = ["steps", "batch"].map(|n| optimizer[n].as_u64().unwrap() as usize);
    let config = StepConfig {
        batch_size,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(AdamW {
            beta1: number(&optimizer["betas"][0]),
            beta2: number(&optimizer["betas"][1]),
            eps: number(&optimizer["eps"]),
            weight_decay: number(&optimizer["weight_decay"]),
            clip_norm: 0.0,
            ema: None,
        }),
        task: Task::Masked { model: model.clone(), masks: MaskSource::Given },
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    };
    let mut step = TrainStep::new(device, config, &store).expect("a program");
    let chunk = |name: &str, i: usize| {
        let data = &case.tensor(name).data;
        let len = data.len() / steps;
        data[i * len..(i + 1) * len].to_vec()
    };
    let mut metrics = Vec::new();
    for i in 0..steps {
        let (images, noise) = (chunk("input.pixel_values", i), chunk("input.noise", i));
        let batch = BatchData { images: &images, noise: &noise, ..Default::default() };
        step.run_batch(0, scalars(i, case.tensor("input.lr").data[i]), batch);
        step.request_metrics();
        metrics.extend(block_on(step.metrics(i as u32)).expect("metrics"));
    }
    let mut failures = Vec::new();
    assert_eq!(metrics.len(), steps);
    let losses: Vec<f32> = metrics.iter().map(|m| m.loss).collect();
    check_losses(case, &losses, &mut failures);
    for (m, &expected) in metrics.iter().zip(&case.tensor("output.grad_norm").data) {
        if !((m.grad_norm - expected).abs() <= 1e-4 * expected) {
            failures.push(format!("step {}: norm {}, expected {expected}", m.step, m.grad_norm));
        }
    }
    let values = block_on(store.read(Role::Value)).expect("parameters");
    let values = to_hugging_face(&model, &values).expect("foreign names");
    let chaotic = case.names("chaotic_params");
    for (name, expected) in case.group("final.") {
        if chaotic.contains(&name) {
            continue;
        }
        let moved = case.json["moved"][&name].as_f64().unwrap_or(0.0);
        let limit = case.tolerance("moved_rel") * moved;
        let difference = max_difference(&values[&name].data, &expected.data);
        if !(difference <= limit.max(1e-7 * max_abs(&expected.data))) {
            failures.push(format!("final {name}: {difference:.3e} > {limit:.3e}"));
        }
    }
    failures
}

/// The probe's head alone, on given features, through the real step.
pub fn lars(case: &Case) -> Vec<String> {
    let device = device();
    let json = &case.json["config"];
    let number = |name: &str| json[name].as_f64().expect("a number") as f32;
    let [steps, batch, dim, classes] = ["steps", "batch", "dim", "classes"].map(|n| case.size(n));
    // The variant that takes any width.
    let mut model = ModelConfig::preset("plain").expect("a preset");
    model.encoder = StackConfig::new(dim, 1, 1);
    let classifier = ClassifierConfig {
        model: model.clone(),
        pool: Pool::Mean,
        head: Head::Probe,
        classes,
        trainable: Trainable::None,
        learned_positions: false,
        drop_path: 0.0,
    };
    let layout = ParamLayout::new(classifier.params(), device.max_binding());
    let store = ParamStore::new(device, layout, true).expect("memory");
    let mut initial = init_params(store.layout().specs(), model.grid(), 0);
    for part in ["weight", "bias"] {
        let given = case.tensor(&format!("param.head.1.{part}"));
        initial.insert(format!("head.{part}"), given.clone());
    }
    store.load(Role::Value, &initial).expect("weights");
    let optimizer = Optimizer::Lars(Lars {
        momentum: number("momentum"),
        weight_decay: number("weight_decay"),
        trust: number("trust_coefficient"),
    });
    let config = StepConfig {
        task: Task::Classify { classifier: classifier.clone(), input: Input::Features },
        batch_size: batch,
        grad_accum: 1,
        optimizer,
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    };
    let mut step = TrainStep::new(device, config, &store).expect("a program");
    let features = case.tensor("input.features").data.chunks(batch * dim);
    let labels = case.tensor("input.labels").data.chunks(batch);
    let mut losses = Vec::new();
    for (i, (images, labels)) in features.zip(labels).enumerate() {
        let labels: Vec<u32> = labels.iter().map(|&l| l as u32).collect();
        let targets = soft_targets(&labels, classes, 0.0);
        let batch = BatchData { images, targets: &targets, ..Default::default() };
        step.run_batch(0, scalars(i, case.tensor("input.lr").data[i]), batch);
        step.request_metrics();
        let metrics = block_on(step.metrics(i as u32)).expect("metrics");
        losses.extend(metrics.iter().map(|line| line.loss));
    }
    assert_eq!(losses.len(), steps);
    let mut failures = Vec::new();
    check_losses(case, &losses, &mut failures);

    let values = block_on(store.read(Role::Value)).expect("parameters");
    let variance = &case.tensor("final.head.0.running_var").data;
    for (name, spread) in [("running_mean", true), ("running_var", false)] {
        let expected = &case.tensor(&format!("final.head.0.{name}")).data;
        let actual = &values[&format!("head_norm.{name}")].data;
        for (i, (actual, &expected)) in actual.iter().zip(expected).enumerate() {
            let scale = expected.abs() + if spread { variance[i].sqrt() } else { 0.0 };
            if !((actual - expected).abs() <= 1e-4 * scale) {
                failures.push(format!("{name}[{i}]: {actual}, expected {expected}"));
            }
        }
    }
    let features = case.tensor("input.eval_features");
    let mut rec = Recorder::new(device.target(), false);
    store.layout().declare(&mut rec, false);
    let rows = features.shape[0];
    let logits = classify(&mut rec, &classifier, rows, Input::Features, false).logits;
    rec.keep(logits, "logits");
    let eval = Program::build(device, &rec, store.buffers()).expect("a program");
    eval.write(Input::Features.label(), &features.data);
    eval.submit();
    let logits: Vec<f32> = block_on(eval.read("logits")).expect("logits");
    for (name, actual) in [
        ("final.head.1.weight", &values["head.weight"].data),
        ("final.head.1.bias", &values["head.bias"].data),
        ("output.eval_logits", &logits),
    ] {
        let expected = &case.tensor(name).data;
        let limit = case.tolerance("rel_to_max") * max_abs(expected);
        let difference = max_difference(actual, expected);
        if !(difference <= limit) {
            failures.push(format!("{name}: {difference:.3e} > {limit:.3e}"));
        }
    }
    // What is frozen stays as it was.
    for (name, value) in values.iter().filter(|(name, _)| !name.starts_with("head")) {
        if value.data != initial[name].data {
            failures.push(format!("{name} has changed"));
        }
    }
    failures
}
