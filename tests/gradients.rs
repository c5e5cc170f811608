//! The whole model's gradient against finite differences of its loss, and accumulation over batches
//! against one batch.

mod common;

use common::{gpu, within};
use pollster::block_on;
use webmae::model::init::init_params;
use webmae::model::params::mae_params;
use webmae::model::store::{ParamLayout, ParamStore, Role};
use webmae::ops::optim::{AdamW, Scalars};
use webmae::philox::Rng;
use webmae::program::Program;
use webmae::tensor::{HostTensor, TensorMap};
use webmae::train::step::{BatchData, EvalStep, MaskSource, StepConfig, TrainStep};
use webmae::{MaskStrategy, ModelConfig, StackConfig, Variant};

/// Step along a direction of length 1. With the four losses at ±h and ±2h the slope is
/// (8·(f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h: its own error is h⁴/30 of the fifth derivative,
/// some 1e-8, so rounding decides.
const STEP: f32 = 0.03;
/// A loss in f32 is rounded at the end, in the sums before, and through the activations: 16 units
/// in the last place together. The slope has (8 + 8 + 1 + 1) / 12h of them.
const LOSS_ROUNDING: f64 = 1e-6;
/// The gradient's own rounding, and what the fifth derivative still leaves.
const RELATIVE: f64 = 2e-3;
const DIRECTIONS: u32 = 3;

const OPTIMIZER: AdamW =
    AdamW { beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0.05, clip_norm: 0.0 };

/// 12 patches of 2×3 pixels in a grid of 4×3.
fn model(variant: Variant, channels: usize, mask_ratio: f64, norm_pix_loss: bool) -> ModelConfig {
    ModelConfig {
        variant,
        image_size: [8, 9],
        patch_size: [2, 3],
        channels,
        encoder: StackConfig { dim: 8, depth: 2, heads: 2, dim_head: 4, mlp_dim: 12 },
        decoder: StackConfig { dim: 12, depth: 1, heads: 3, dim_head: 4, mlp_dim: 20 },
        mask_ratio,
        mask_strategy: MaskStrategy::Random,
        norm_pix_loss,
        encoder_mask_tokens: false,
        layer_norm_eps: variant.layer_norm_eps(),
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

fn cases() -> Vec<(&'static str, ModelConfig)> {
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
    ]
}

fn normal(stream: u32, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(0x96ad, [stream, 0, 0]);
    (0..count).map(|_| rng.normal()).collect()
}

fn step_config(model: &ModelConfig, batch_size: usize, masks: MaskSource) -> StepConfig {
    StepConfig { model: model.clone(), batch_size, grad_accum: 1, optimizer: OPTIMIZER, masks }
}

/// Initial parameters, moved a little so that no bias is zero and no gain one. Cls and mask tokens
/// move far: LayerNorm turns sharply around a short token, too sharply for these steps.
fn params(model: &ModelConfig) -> TensorMap {
    let mut params = init_params(&mae_params(model), model.grid(), 1);
    for (i, (name, tensor)) in params.iter_mut().enumerate() {
        let noise = normal(1000 + i as u32, tensor.data.len());
        let scale = if name.ends_with("token") { 1.0 } else { 0.1 };
        tensor.data.iter_mut().zip(noise).for_each(|(value, noise)| *value += scale * noise);
    }
    params
}

fn store(model: &ModelConfig, params: &TensorMap) -> ParamStore {
    let layout = ParamLayout::new(mae_params(model), gpu().max_binding());
    let store = ParamStore::new(gpu(), layout, true).expect("memory");
    store.load(Role::Value, params).expect("weights");
    store
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt().max(1e-30) as f32;
    values.iter_mut().for_each(|v| *v /= length);
    values
}

/// Checks one model's gradient. Returns how many of the slopes that lean
/// towards the gradient stood out from rounding, and of how many.
fn check(name: &str, model: &ModelConfig, failures: &mut Vec<String>) -> [usize; 2] {
    const BATCH: usize = 2;
    model.validate().unwrap_or_else(|e| panic!("{name}: {e}"));
    let params = params(model);
    let store = store(model, &params);
    let config = step_config(model, BATCH, MaskSource::Given);
    let images = normal(1, BATCH * model.image_len());
    let noise = normal(2, BATCH * model.num_patches());
    let batch = BatchData { images: &images, sample_ids: &[], noise: &noise };

    let program =
        Program::build(gpu(), &config.record_batch(gpu().tier(), store.layout()), store.buffers());
    let program = program.expect("a program");
    program.write("images", &images);
    program.write("noise", &noise);
    program.submit();
    let loss: Vec<f32> = block_on(program.read("loss")).expect("a loss");
    let gradients = block_on(store.read(Role::Grad)).expect("gradients");
    let eval = EvalStep::new(gpu(), &config, &store).expect("a program");
    let evaluate = || block_on(eval.run(Scalars::default(), batch)).expect("a loss");
    let evaluated = evaluate();
    if (evaluated - loss[0]).abs() > 2e-6 * evaluated {
        failures.push(format!("{name}: loss {} in training, {evaluated} evaluated", loss[0]));
    }

    let [mut clear, mut leaning] = [0, 0];
    for (i, (parameter, gradient)) in gradients.iter().enumerate() {
        let value = &params[parameter];
        for direction in 0..DIRECTIONS {
            let mut along = unit(normal(100 * i as u32 + direction, value.data.len()));
            if direction == 0 {
                // Leaning towards the gradient, so that its size shows.
                let gradient = unit(gradient.data.clone());
                along = unit(along.iter().zip(gradient).map(|(a, g)| a + g).collect());
            }
            let loss_at = |distance: f32| {
                let moved = value.data.iter().zip(&along).map(|(v, a)| v + distance * a);
                let moved = HostTensor::new(value.shape.clone(), moved.collect());
                store.load(Role::Value, &[(parameter.clone(), moved)].into()).expect("weights");
                f64::from(evaluate())
            };
            let near = loss_at(STEP) - loss_at(-STEP);
            let far = loss_at(2.0 * STEP) - loss_at(-2.0 * STEP);
            let slope = (8.0 * near - far) / (12.0 * f64::from(STEP));
            let expected = dot(&gradient.data, &along);
            let rounding = 1.5 * LOSS_ROUNDING * f64::from(evaluated) / f64::from(STEP);
            let tolerance = rounding + RELATIVE * slope.abs();
            if !within((slope - expected).abs(), tolerance) {
                failures.push(format!(
                    "{name}: {parameter} direction {direction}: gradient {expected:.6}, slope \
                     {slope:.6} ± {tolerance:.6}"
                ));
            }
            if direction == 0 {
                leaning += 1;
                clear += usize::from(slope.abs() > 5.0 * tolerance);
            }
        }
        let original = [(parameter.clone(), value.clone())].into();
        store.load(Role::Value, &original).expect("weights");
    }
    [clear, leaning]
}

#[test]
fn gradients_are_the_loss_slopes() {
    let mut failures = Vec::new();
    let [mut clear, mut leaning] = [0, 0];
    for (name, model) in cases() {
        let [c, n] = check(name, &model, &mut failures);
        println!("{name}: {c} of {n} slopes stand out");
        (clear, leaning) = (clear + c, leaning + n);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
    assert!(10 * clear >= 9 * leaning, "only {clear} of {leaning} slopes stand out from rounding");
}

/// Two half batches, with the masks that their samples have in the full one.
#[test]
fn two_half_batches_make_one_step() {
    let mut failures = Vec::new();
    for (name, model) in cases() {
        let params = params(&model);
        let images = normal(1, 4 * model.image_len());
        let ids = [3, 1, 4, 1_000_000];
        let scalars = Scalars { seed: [7, 8], epoch: 2, lr: 0.01, ..Default::default() };
        let run = |batch_size: usize| {
            let store = store(&model, &params);
            let config = StepConfig {
                grad_accum: 4 / batch_size,
                ..step_config(&model, batch_size, MaskSource::Generated)
            };
            let mut step = TrainStep::new(gpu(), config, &store).expect("a program");
            let chunks = images.chunks(batch_size * model.image_len());
            for (i, (images, sample_ids)) in chunks.zip(ids.chunks(batch_size)).enumerate() {
                step.run_batch(i, scalars, BatchData { images, sample_ids, noise: &[] });
            }
            step.request_metrics();
            let metrics = block_on(step.metrics(0)).expect("metrics");
            (metrics[0], block_on(store.read(Role::Grad)).expect("gradients"))
        };
        let (full, full_gradients) = run(4);
        let (halves, half_gradients) = run(2);
        for (what, full, halves) in
            [("loss", full.loss, halves.loss), ("norm", full.grad_norm, halves.grad_norm)]
        {
            if !within(f64::from((full - halves).abs()), 2e-6 * f64::from(full)) {
                failures.push(format!("{name}: {what} {full}, of halves {halves}"));
            }
        }
        // Rounding of sums in another order, against the largest gradient there is: the key
        // biases' own gradient is zero but for rounding.
        let scale = full_gradients.values().map(|t| common::max_abs(&t.data)).fold(0.0, f64::max);
        for (parameter, full) in &full_gradients {
            let difference = common::max_difference(&half_gradients[parameter].data, &full.data);
            if !within(difference, 2e-6 * scale) {
                failures.push(format!("{name}: {parameter}: {difference:.3e} of {scale:.3e}"));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
