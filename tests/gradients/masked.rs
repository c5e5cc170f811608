//! Masked pre-training of every variant and every kind of target.

use pollster::block_on;
use webmae::kernels::Precision;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optimizer::{Metrics, Optimizer, Scalars};
use webmae::program::Program;
use webmae::tensor::TensorMap;
use webmae::train::step::{BatchData, EvalStep, MaskSource, StepConfig, Task, TrainStep};
use webmae::{MaskStrategy, ModelConfig, PatchTarget, Positions, StackConfig, Variant};

use crate::common::{device, max_abs, max_difference, within};
use crate::slopes::{OPTIMIZER, Objective, Tally, moved_params, normal};

/// 12 patches of 2×3 pixels in a grid of 4×3.
pub fn model(
    variant: Variant,
    channels: usize,
    mask_ratio: f64,
    norm_pix_loss: bool,
) -> ModelConfig {
    ModelConfig {
        variant,
        image_size: [8, 9],
        patch_size: [2, 3],
        channels,
        encoder: StackConfig { dim: 8, depth: 2, heads: 2, dim_head: 4, mlp_dim: 12 },
        decoder: StackConfig { dim: 12, depth: 1, heads: 3, dim_head: 4, mlp_dim: 20 },
        mask_ratio,
        mask_strategy: MaskStrategy::Random,
        target: PatchTarget::Pixels,
        norm_pix_loss,
        encoder_mask_tokens: false,
        positions: None,
        layer_norm_eps: variant.layer_norm_eps(),
        dropout: 0.0,
        emb_dropout: 0.0,
    }
}

fn with_encoder_mask_tokens(mut model: ModelConfig) -> ModelConfig {
    model.encoder_mask_tokens = true;
    model
}

/// One head as wide as the model and equally wide stacks: both projections are left out.
fn with_identities(mut model: ModelConfig) -> ModelConfig {
    let stack = StackConfig { dim: 8, depth: 1, heads: 1, dim_head: 8, mlp_dim: 12 };
    (model.encoder, model.decoder) = (stack, stack);
    model
}

/// Heads that are neither as wide as the model together nor whole vectors.
fn with_odd_heads(mut model: ModelConfig) -> ModelConfig {
    model.encoder = StackConfig { dim: 7, depth: 1, heads: 2, dim_head: 5, mlp_dim: 9 };
    model
}

fn with_positions(positions: Positions, model: ModelConfig) -> ModelConfig {
    ModelConfig { positions: Some(positions), ..model }
}

/// `encoder` with some of its values dropped.
fn dropping(model: ModelConfig) -> ModelConfig {
    ModelConfig { dropout: 0.3, ..model }
}

fn predicting(target: PatchTarget, variant: Variant, mask_ratio: f64) -> ModelConfig {
    ModelConfig { target, ..model(variant, 3, mask_ratio, false) }
}

pub fn cases() -> Vec<(&'static str, ModelConfig)> {
    use PatchTarget::{Codebook, Pca, Tokens};
    use Variant::{Paper, Plain, VitPytorch};
    vec![
        ("paper", model(Paper, 3, 0.75, false)),
        ("paper norm-pix", model(Paper, 1, 0.5, true)),
        ("paper encoder mask tokens", with_encoder_mask_tokens(model(Paper, 4, 0.5, false))),
        ("paper norm-pix at 0.9", with_encoder_mask_tokens(model(Paper, 1, 0.9, true))),
        ("plain at 0.9", model(Plain, 4, 0.9, false)),
        ("plain identities", with_identities(model(Plain, 3, 0.5, true))),
        ("plain odd heads", with_odd_heads(model(Plain, 1, 0.75, false))),
        ("vit-pytorch", model(VitPytorch, 1, 0.5, false)),
        ("vit-pytorch identities", with_identities(model(VitPytorch, 4, 0.75, true))),
        (
            "paper learned positions",
            with_positions(Positions::Learned, model(Paper, 3, 0.75, false)),
        ),
        ("plain fixed positions", with_positions(Positions::Sincos, model(Plain, 3, 0.75, false))),
        ("vit-pytorch fixed", with_positions(Positions::Sincos, model(VitPytorch, 1, 0.5, false))),
        ("plain dropout", dropping(model(Plain, 3, 0.5, false))),
        ("plain dropout, odd heads", dropping(with_odd_heads(model(Plain, 1, 0.5, false)))),
        (
            "vit-pytorch dropout, identities",
            dropping(with_identities(model(VitPytorch, 1, 0.5, true))),
        ),
        ("paper components", predicting(Pca { components: 5 }, Paper, 0.75)),
        ("plain codebook", predicting(Codebook { vocabulary: 12 }, Plain, 0.75)),
        ("paper tokens", predicting(Tokens { vocabulary: 4 }, Paper, 0.5)),
    ]
}

pub fn step_config(model: &ModelConfig, batch_size: usize, masks: MaskSource) -> StepConfig {
    StepConfig {
        task: Task::Masked { model: model.clone(), masks },
        batch_size,
        grad_accum: 1,
        optimizer: Optimizer::AdamW(OPTIMIZER),
        layer_decay: 1.0,
        recompute: false,
        precision: Precision::F32,
    }
}

fn store(model: &ModelConfig, params: &TensorMap) -> ParamStore {
    let layout = ParamLayout::new(mae_params(model), device().max_binding());
    let store = ParamStore::new(device(), layout, true).expect("memory");
    store.load(Role::Value, params).expect("weights");
    store
}

/// Tokens for every patch of `batch` pictures, where they are what is predicted.
fn tokens(model: &ModelConfig, batch: usize) -> Vec<u32> {
    let PatchTarget::Tokens { vocabulary } = model.target else { return Vec::new() };
    let count = (batch * model.num_patches()) as u32;
    (0..count).map(|i| i * i % vocabulary as u32).collect()
}

fn check(name: &str, model: &ModelConfig, tally: &mut Tally) {
    const BATCH: usize = 2;
    model.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
    let params = moved_params(&mae_params(model), model.grid());
    let store = store(model, &params);
    let config = step_config(model, BATCH, MaskSource::Given);
    let images = normal(1, BATCH * model.image_len());
    let noise = normal(2, BATCH * model.num_patches());
    let tokens = tokens(model, BATCH);
    let batch = BatchData { images: &images, noise: &noise, tokens: &tokens, ..Default::default() };

    let program = Program::build(
        device(),
        &config.record_batch(device().target(), store.layout()),
        store.buffers(),
    );
    let program = program.expect("a program");
    program.write("images", &images);
    program.write("noise", &noise);
    if !tokens.is_empty() {
        program.write("tokens", &tokens);
    }
    if model.dropout > 0.0 {
        program.write("step", &[Scalars { epoch: 2, ..Scalars::seeded(3) }]);
        program.write("sample_ids", &[5, 1_000_000]);
    }
    let train = || {
        program.submit();
        f64::from(block_on(program.read::<f32>("loss")).expect("a loss")[0])
    };
    let loss = train();
    let gradients = block_on(store.read(Role::Grad)).expect("gradients");
    let masks = MaskSource::Given;
    let eval = EvalStep::new(device(), model, masks, BATCH, &store, Precision::F32);
    let eval = eval.expect("a program");
    let evaluate = || f64::from(block_on(eval.run(Scalars::default(), batch)).expect("a loss"));
    let evaluated = evaluate();
    let is_same = within((evaluated - loss).abs(), 2e-6 * evaluated);
    if is_same == (model.dropout > 0.0) {
        tally.failures.push(format!("{name}: loss {loss} in training, {evaluated} evaluated"));
    }
    let frozen = gradients.keys().find(|name| name.starts_with("target."));
    if let Some(frozen) = frozen {
        tally.failures.push(format!("{name}: {frozen} has a gradient"));
    }
    if gradients.contains_key("decoder_pos_embed") != model.learned_positions() {
        tally.failures.push(format!("{name}: only learned positions have a gradient"));
    }
    // What is dropped, is dropped in training alone.
    let loss: &dyn Fn() -> f64 = if model.dropout > 0.0 { &train } else { &evaluate };
    let objective = Objective { name, store: &store, params: &params, loss };
    objective.check(&gradients, tally);
}

#[test]
fn gradients_are_the_loss_slopes() {
    let mut tally = Tally::default();
    for (name, model) in cases() {
        check(name, &model, &mut tally);
    }
    tally.report();
}

/// One step on four images, `batch_size` at a time: its metrics and gradients.
pub fn step_of_four(
    model: &ModelConfig,
    batch_size: usize,
    recompute: bool,
) -> (Metrics, TensorMap) {
    let images = normal(1, 4 * model.image_len());
    let tokens = tokens(model, 4);
    let ids = [3, 1, 4, 1_000_000];
    let scalars = Scalars { seed: [7, 8], epoch: 2, lr: 0.01, ..Default::default() };
    let store = store(model, &moved_params(&mae_params(model), model.grid()));
    let config = StepConfig {
        grad_accum: 4 / batch_size,
        recompute,
        precision: Precision::F32,
        ..step_config(model, batch_size, MaskSource::Generated)
    };
    let mut step = TrainStep::new(device(), config, &store).expect("a program");
    for i in 0..4 / batch_size {
        let part = |len: usize| i * batch_size * len / 4..(i + 1) * batch_size * len / 4;
        let batch = BatchData {
            images: &images[part(images.len())],
            sample_ids: &ids[part(ids.len())],
            tokens: &tokens[part(tokens.len())],
            ..Default::default()
        };
        step.run_batch(i, scalars, batch);
    }
    step.request_metrics();
    let metrics = block_on(step.metrics(0)).expect("metrics");
    (metrics[0], block_on(store.read(Role::Grad)).expect("gradients"))
}

/// Two half batches, with the masks that their samples have in the full one.
#[test]
fn two_half_batches_make_one_step() {
    let mut failures = Vec::new();
    for (name, model) in cases() {
        let (full, full_gradients) = step_of_four(&model, 4, false);
        let (halves, half_gradients) = step_of_four(&model, 2, false);
        for (what, full, halves) in
            [("loss", full.loss, halves.loss), ("norm", full.grad_norm, halves.grad_norm)]
        {
            if !within(f64::from((full - halves).abs()), 2e-6 * f64::from(full)) {
                failures.push(format!("{name}: {what} {full}, of halves {halves}"));
            }
        }
        // Rounding of sums in another order, against the largest gradient there is: the key
        // biases' own gradient is zero but for rounding.
        let scale = full_gradients.values().map(|t| max_abs(&t.data)).fold(0.0, f64::max);
        for (parameter, full) in &full_gradients {
            let difference = max_difference(&half_gradients[parameter].data, &full.data);
            if !within(difference, 2e-6 * scale) {
                failures.push(format!("{name}: {parameter}: {difference:.3e} of {scale:.3e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
