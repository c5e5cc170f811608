//! Training a part of a classifier: the same gradients as when everything is trained, with less
//! work and memory, and nothing kept for what is frozen.

use webmae::kernels::{BINDING_ALIGNMENT, DEFAULT_MAX_BINDING, Processor};
use webmae::model::classifier::{ClassifierConfig, Trainable};
use webmae::model::classify::Input;
use webmae::model::params::ParamSpec;
use webmae::model::store::ParamLayout;
use webmae::program::Plan;

use crate::classifiers::{Recorded, cases, step_config};
use crate::common::{max_abs, max_difference, within};

/// From most to least.
const PARTS: [Trainable; 4] =
    [Trainable::All, Trainable::Blocks(1), Trainable::Half, Trainable::None];

/// Beginnings of the labels of what is kept for a trained parameter alone.
const ROLES: [&str; 3] = ["grad.", "moment1.", "moment2."];

/// Bytes that the trained ones of `specs` take, each aligned as bindings must be.
fn bytes(specs: &[ParamSpec]) -> u64 {
    let trained = specs.iter().filter(|spec| spec.trainable);
    trained.map(|spec| (4 * spec.len() as u64).next_multiple_of(BINDING_ALIGNMENT)).sum()
}

#[test]
fn a_part_has_the_gradients_of_the_whole() {
    let mut failures = Vec::new();
    for (name, whole) in cases() {
        let run = |trainable| {
            let config = ClassifierConfig { trainable, ..whole.clone() };
            let recorded = Recorded::new(&config, Input::Images);
            let trained = bytes(recorded.store.layout().specs());
            let held: [u64; 3] = ROLES.map(|role| {
                let buffers = recorded.store.buffers().iter();
                buffers.filter(|(label, _)| label.starts_with(role)).map(|(_, b)| b.bytes()).sum()
            });
            (recorded.run(), recorded.gradients(), [trained; 3] == held)
        };
        let (loss, gradients, _) = run(Trainable::All);
        let scale = gradients.values().map(|t| max_abs(&t.data)).fold(0.0, f64::max);
        let mut fewer = gradients.len();
        for trainable in &PARTS[1..] {
            let (part_loss, part, holds_nothing_else) = run(*trainable);
            if !holds_nothing_else {
                failures.push(format!("{name} {trainable:?}: memory for what is frozen"));
            }
            if !within((part_loss - loss).abs(), 1e-6 * loss) {
                failures.push(format!("{name} {trainable:?}: loss {part_loss}, whole {loss}"));
            }
            if part.len() >= fewer || !part.contains_key("head.weight") {
                failures.push(format!("{name} {trainable:?}: gradients of {:?}", part.keys()));
            }
            fewer = part.len();
            for (parameter, gradient) in &part {
                let difference = max_difference(&gradient.data, &gradients[parameter].data);
                if !within(difference, 1e-6 * scale) {
                    let what = format!("{name} {trainable:?}: {parameter}");
                    failures.push(format!("{what}: {difference:.3e} of {scale:.3e}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn what_is_frozen_costs_nothing() {
    let mut failures = Vec::new();
    for (name, whole) in cases() {
        for processor in Processor::ALL {
            let mut before: Option<[u64; 4]> = None;
            for trainable in PARTS {
                let config = ClassifierConfig { trainable, ..whole.clone() };
                let layout = ParamLayout::new(config.params(), DEFAULT_MAX_BINDING);
                let step = step_config(&config, Input::Images);
                let plans =
                    step.plan(&processor.into(), &layout, DEFAULT_MAX_BINDING).expect("a plan");
                let what = format!("{name} {processor:?} {trainable:?}");
                let [batch, update] = &plans;
                let now = [
                    (batch.dispatches + update.dispatches) as u64,
                    batch.flops,
                    batch.transient_bytes(),
                    Plan::total_bytes(&[batch, update]),
                ];
                println!("{what}: dispatches, FLOPs, shared bytes, bytes {now:?}");
                if let Some(before) = before
                    && (0..now.len()).any(|i| now[i] >= before[i])
                {
                    failures.push(format!("{what}: {now:?} is not below {before:?}"));
                }
                before = Some(now);

                let trained = bytes(layout.specs());
                for role in ROLES {
                    let externals = plans.iter().flat_map(|plan| &plan.externals);
                    let mut slabs: Vec<_> =
                        externals.filter(|(label, _)| label.starts_with(role)).collect();
                    slabs.sort();
                    slabs.dedup();
                    let held: u64 = slabs.iter().map(|(_, bytes)| bytes).sum();
                    if held != trained {
                        failures.push(format!("{what}: {role} {held} bytes for {trained}"));
                    }
                }
                let rec = step.record_batch(processor, &layout);
                for spec in layout.specs() {
                    let has = rec.param_grad(rec.param(&spec.name)).is_some();
                    if has != spec.trainable {
                        failures.push(format!("{what}: gradient of {} is {has}", spec.name));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
