//! Twenty steps of an optimiser: every loss, and the parameters in the end.

use pollster::block_on;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optim::{AdamW, Lars, STEP_WORDS, Scalars, lars as record_lars};
use webmae::ops::{BatchNorm, Target, batch_norm, cross_entropy, linear};
use webmae::program::{Buffers, Program, Recorder};
use webmae::train::step::{BatchData, MaskSource, StepConfig, TrainStep};
use webmae::weights::{Format, Missing, to_hugging_face, to_internal};

use crate::case::Case;
use crate::common::{gpu, max_abs, max_difference};

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
    let gpu = gpu();
    let layout = ParamLayout::new(mae_params(&model), gpu.max_binding());
    let store = ParamStore::new(gpu, layout, true).expect("memory");
    let format = Format::HuggingFaceMae;
    let initial = to_internal(format, &model, &case.group("param."), Missing::Refused);
    store.load(Role::Value, &initial.expect("weights").tensors).expect("weights");
    let number = |value: &serde_json::Value| value.as_f64().expect("a number") as f32;
    let optimizer = &case.json["optimizer"];
    let [steps, batch_size] = ["steps", "batch"].map(|n| optimizer[n].as_u64().unwrap() as usize);
    let config = StepConfig {
        batch_size,
        grad_accum: 1,
        optimizer: AdamW {
            beta1: number(&optimizer["betas"][0]),
            beta2: number(&optimizer["betas"][1]),
            eps: number(&optimizer["eps"]),
            weight_decay: number(&optimizer["weight_decay"]),
            clip_norm: 0.0,
        },
        masks: MaskSource::Given,
        model: model.clone(),
    };
    let mut step = TrainStep::new(gpu, config, &store).expect("a program");
    let chunk = |name: &str, i: usize| {
        let data = &case.tensor(name).data;
        let len = data.len() / steps;
        data[i * len..(i + 1) * len].to_vec()
    };
    let mut metrics = Vec::new();
    for i in 0..steps {
        let (images, noise) = (chunk("input.pixel_values", i), chunk("input.noise", i));
        let batch = BatchData { images: &images, sample_ids: &[], noise: &noise };
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

pub fn lars(case: &Case) -> Vec<String> {
    let gpu = gpu();
    let json = &case.json["config"];
    let number = |name: &str| json[name].as_f64().expect("a number") as f32;
    let [steps, batch, dim, classes] = ["steps", "batch", "dim", "classes"].map(|n| case.size(n));
    let optimizer = Lars {
        momentum: number("momentum"),
        weight_decay: number("weight_decay"),
        trust: number("trust_coefficient"),
    };
    // The same head for training on `rows` features and for evaluation.
    let record = |rows: usize, train: bool| {
        let mut rec = Recorder::new(gpu.tier(), train);
        let mut params = Vec::new();
        for (name, shape) in [("weight", vec![classes, dim]), ("bias", vec![classes])] {
            let value = rec.external(name, shape.clone());
            let grad = train.then(|| rec.external(&format!("d {name}"), shape.clone()));
            if let Some(grad) = grad {
                rec.clear_first(grad);
                params.push([grad, value, rec.external(&format!("velocity {name}"), shape)]);
            }
            rec.add_param(name, value, grad);
        }
        let x = rec.external("features", [rows, dim]);
        let norm = BatchNorm {
            running_mean: rec.external("running_mean", [dim]),
            running_var: rec.external("running_var", [dim]),
            eps: number("bn_eps"),
            momentum: number("bn_momentum"),
            train,
        };
        let y = batch_norm(&mut rec, x, norm);
        let (weight, bias) = (rec.param("weight"), rec.param("bias"));
        let logits = linear(&mut rec, y, weight, Some(bias));
        if train {
            let labels = rec.external("labels", [rows]);
            let loss = rec.external("loss", [1]);
            rec.clear_first(loss);
            cross_entropy(&mut rec, logits, Target::Labels { labels, smoothing: 0.0 }, loss);
            rec.backward();
            let step = rec.external("step", [STEP_WORDS]);
            for tensors in params {
                record_lars(&mut rec, optimizer, step, tensors);
            }
        } else {
            rec.keep(logits, "logits");
        }
        rec
    };
    let train = Program::build(gpu, &record(batch, true), &Buffers::new()).expect("a program");
    train.write("weight", &case.tensor("param.head.1.weight").data);
    train.write("bias", &case.tensor("param.head.1.bias").data);
    train.write("running_var", &vec![1.0_f32; dim]);
    let mut losses = Vec::new();
    for i in 0..steps {
        let rows = batch * dim;
        train.write("features", &case.tensor("input.features").data[i * rows..(i + 1) * rows]);
        let labels = &case.tensor("input.labels").data[i * batch..(i + 1) * batch];
        train.write("labels", &labels.iter().map(|&l| l as u32).collect::<Vec<_>>());
        train.write("step", &[scalars(i, case.tensor("input.lr").data[i])]);
        train.submit();
        losses.push(block_on(train.read::<f32>("loss")).expect("a loss")[0]);
    }
    let mut failures = Vec::new();
    check_losses(case, &losses, &mut failures);

    let eval_features = case.tensor("input.eval_features");
    let shared: Buffers = ["weight", "bias", "running_mean", "running_var"]
        .map(|name| (name.to_owned(), train.buffer(name).clone()))
        .into();
    let eval = Program::build(gpu, &record(eval_features.shape[0], false), &shared).expect("eval");
    eval.write("features", &eval_features.data);
    eval.submit();
    let read = |program: &Program, name: &str| block_on(program.read::<f32>(name)).expect("data");
    let variance = &case.tensor("final.head.0.running_var").data;
    for (name, spread) in [("running_mean", true), ("running_var", false)] {
        let expected = &case.tensor(&format!("final.head.0.{name}")).data;
        for (i, (actual, &expected)) in read(&train, name).into_iter().zip(expected).enumerate() {
            let scale = expected.abs() + if spread { variance[i].sqrt() } else { 0.0 };
            if !((actual - expected).abs() <= 1e-4 * scale) {
                failures.push(format!("{name}[{i}]: {actual}, expected {expected}"));
            }
        }
    }
    for (name, actual) in [
        ("final.head.1.weight", read(&train, "weight")),
        ("final.head.1.bias", read(&train, "bias")),
        ("output.eval_logits", read(&eval, "logits")),
    ] {
        let expected = &case.tensor(name).data;
        let limit = case.tolerance("rel_to_max") * max_abs(expected);
        let difference = max_difference(&actual, expected);
        if !(difference <= limit) {
            failures.push(format!("{name}: {difference:.3e} > {limit:.3e}"));
        }
    }
    failures
}
