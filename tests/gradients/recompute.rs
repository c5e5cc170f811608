//! Recomputation changes memory and work, and not one bit of losses and gradients.

use webmae::ModelConfig;
use webmae::kernels::{DEFAULT_MAX_BINDING, Processor};
use webmae::model::classifier::{ClassifierConfig, Trainable};
use webmae::model::classify::Input;
use webmae::model::params::mae_params;
use webmae::model::store::ParamLayout;
use webmae::tensor::TensorMap;
use webmae::train::step::{MaskSource, StepConfig};

use crate::classifiers::{self, Recorded};
use crate::masked::{self, step_of_four};

/// Classifiers of three blocks and parts of them, with the number of blocks that are recomputed: those
/// that are trained, but for the last.
fn classifiers() -> impl Iterator<Item = (String, ClassifierConfig, usize)> {
    let parts = [
        (Trainable::All, 2),
        (Trainable::Blocks(2), 1),
        (Trainable::Half, 0),
        (Trainable::None, 0),
    ];
    classifiers::cases().into_iter().flat_map(move |(name, mut config)| {
        config.model.encoder.depth = 3;
        parts.map(|(trainable, recomputed)| {
            let config = ClassifierConfig { trainable, ..config.clone() };
            (format!("{name} {trainable:?}"), config, recomputed)
        })
    })
}

fn recomputing(step: StepConfig) -> StepConfig {
    StepConfig { recompute: true, ..step }
}

fn bits(tensors: &TensorMap) -> Vec<(&String, Vec<u32>)> {
    let words = |data: &[f32]| data.iter().map(|x| x.to_bits()).collect();
    tensors.iter().map(|(name, tensor)| (name, words(&tensor.data))).collect()
}

/// Names of the gradients that have other bits.
fn different(a: &TensorMap, b: &TensorMap) -> Vec<String> {
    assert!(a.keys().eq(b.keys()) && !a.is_empty());
    let pairs = bits(a).into_iter().zip(bits(b));
    pairs.filter(|(a, b)| a != b).map(|(a, _)| a.0.clone()).collect()
}

#[test]
fn recomputed_gradients_have_the_same_bits() {
    let mut failures = Vec::new();
    for (name, mut model) in masked::cases() {
        // The last block is not recomputed.
        model.decoder.depth = 2;
        let (kept, kept_gradients) = step_of_four(&model, 4, false);
        let (again, gradients) = step_of_four(&model, 4, true);
        let different = different(&kept_gradients, &gradients);
        if kept != again || !different.is_empty() {
            failures.push(format!("{name}: {kept:?}, {again:?}, {different:?}"));
        }
    }
    for (name, config, recomputed) in classifiers() {
        if recomputed == 0 {
            continue;
        }
        let step = classifiers::step_config(&config, Input::Images);
        let kept = Recorded::of(&config, &step, Input::Images);
        let again = Recorded::of(&config, &recomputing(step), Input::Images);
        let losses = [kept.run(), again.run()];
        let different = different(&kept.gradients(), &again.gradients());
        if losses[0].to_bits() != losses[1].to_bits() || !different.is_empty() {
            failures.push(format!("{name}: {losses:?}, {different:?}"));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn only_trained_blocks_are_recorded_again_and_without_their_last_product() {
    for (name, config, recomputed) in classifiers() {
        let layout = ParamLayout::new(config.params(), DEFAULT_MAX_BINDING);
        let step = classifiers::step_config(&config, Input::Images);
        let launches =
            |step: &StepConfig| step.record_batch(Processor::Gpu, &layout).kernels().count();
        // Norm, qkv, attention, projection; norm, first product; what joins the shortcut; and what drops values behind
        // the projection and behind GELU.
        let block = match (config.drop_path > 0.0, config.model.dropout > 0.0) {
            (false, false) => 6,
            (true, false) => 7,
            (_, true) => 9,
        };
        let more = launches(&recomputing(step.clone())) - launches(&step);
        assert_eq!(more, recomputed * block, "{name}");
    }
}

#[test]
fn memory_shrinks_more_than_work_grows() {
    for (preset, share) in [("tiny", 0.35), ("small", 0.25), ("vit-b", 0.2), ("vit-l", 0.15)] {
        let model = ModelConfig::preset(preset).expect("a preset");
        let layout = ParamLayout::new(mae_params(&model), DEFAULT_MAX_BINDING);
        let step = masked::step_config(&model, 64, MaskSource::Generated);
        for processor in Processor::ALL {
            let plan = |step: &StepConfig| {
                let [batch, _] =
                    step.plan(&processor.into(), &layout, DEFAULT_MAX_BINDING).expect("a plan");
                [batch.transient_bytes(), batch.flops].map(|n| n as f64)
            };
            let (kept, again) = (plan(&step), plan(&recomputing(step.clone())));
            let [memory, work] = [again[0] / kept[0], again[1] / kept[1]];
            println!(
                "{preset} {processor:?}: {memory:.3} of the activations, {work:.3} of the work"
            );
            assert!(memory < share, "{preset} {processor:?}: {memory} of the activations");
            // A forward pass is a third of a step; the blocks' last products are not repeated.
            assert!(work > 1.0 && work < 1.25, "{preset} {processor:?}: {work} of the work");
        }
    }
}
