//! Slopes of a loss by finite differences, and the gradient that they must agree with.

use webmae::model::init::init_params;
use webmae::model::params::ParamSpec;
use webmae::model::store::{ParamStore, Role};
use webmae::ops::optimizer::AdamW;
use webmae::philox::Rng;
use webmae::tensor::{HostTensor, TensorMap};
use webmae::train::paper::PRETRAIN_ADAMW;

use crate::common::{device, within};

/// Step along a direction of length 1. With the four losses at ±h and ±2h the slope is
/// (8·(f(h) − f(−h)) − (f(2h) − f(−2h))) / 12h: its own error is h⁴/30 of the fifth derivative,
/// some 1e-8, so rounding decides.
const STEP: f32 = 0.03;
/// A loss in f32 is rounded at the end, in the sums before, and through the activations: 16 units
/// in the last place together. The slope has (8 + 8 + 1 + 1) / 12h of them.
const LOSS_ROUNDING: f64 = 1e-6;
/// The gradient's own rounding, and what the fifth derivative still leaves.
const RELATIVE: f64 = 2e-3;

/// Directions along which each tensor is checked. Drivers in software take minutes for all; the twins, with which the
/// shaders are compared launch by launch elsewhere, have them.
fn directions() -> u32 {
    let is_software = device().gpu().is_some_and(|gpu| gpu.adapter().is_software());
    if is_software { 1 } else { 3 }
}

pub const OPTIMIZER: AdamW = PRETRAIN_ADAMW;

pub fn normal(stream: u32, count: usize) -> Vec<f32> {
    let mut rng = Rng::new(0x96ad, [stream, 0, 0]);
    (0..count).map(|_| rng.normal()).collect()
}

/// Initial parameters, moved a little so that no bias is zero and no gain one. Cls and mask tokens
/// move far: LayerNorm turns sharply around a short token, too sharply for these steps. So do a
/// classifier's head, which begins with next to nothing, and what targets are computed with.
pub fn moved_params(specs: &[ParamSpec], grid: [usize; 2]) -> TensorMap {
    let mut params = init_params(specs, grid, 1);
    for (i, (name, tensor)) in params.iter_mut().enumerate() {
        let noise = normal(1000 + i as u32, tensor.data.len());
        let far = name.ends_with("token") || name.starts_with("target.") || name == "head.weight";
        let scale = if far { 1.0 } else { 0.1 };
        tensor.data.iter_mut().zip(noise).for_each(|(value, noise)| *value += scale * noise);
    }
    params
}

/// What was found in all cases together.
#[derive(Default)]
pub struct Tally {
    pub failures: Vec<String>,
    /// Slopes that lean towards the gradient and stand out from rounding.
    clear: usize,
    /// Slopes that lean towards the gradient.
    leaning: usize,
}

impl Tally {
    pub fn report(self) {
        let Self { failures, clear, leaning } = self;
        assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
        assert!(
            leaning > 0 && 10 * clear >= 9 * leaning,
            "only {clear} of {leaning} slopes stand out from rounding"
        );
    }
}

/// A loss as a function of the parameters in a store, which holds `params`.
pub struct Objective<'a> {
    pub name: &'a str,
    pub store: &'a ParamStore,
    pub params: &'a TensorMap,
    pub loss: &'a dyn Fn() -> f64,
}

impl Objective<'_> {
    /// Checks the slope along some directions of every tensor that has a gradient.
    pub fn check(&self, gradients: &TensorMap, tally: &mut Tally) {
        let Self { name, store, params, loss } = *self;
        let before = (tally.clear, tally.leaning);
        let size = loss();
        for (i, (parameter, gradient)) in gradients.iter().enumerate() {
            let value = &params[parameter];
            for direction in 0..directions() {
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
                    loss()
                };
                let near = loss_at(STEP) - loss_at(-STEP);
                let far = loss_at(2.0 * STEP) - loss_at(-2.0 * STEP);
                let slope = (8.0 * near - far) / (12.0 * f64::from(STEP));
                let expected = dot(&gradient.data, &along);
                let rounding = 1.5 * LOSS_ROUNDING * size / f64::from(STEP);
                let tolerance = rounding + RELATIVE * slope.abs();
                if !within((slope - expected).abs(), tolerance) {
                    tally.failures.push(format!(
                        "{name}: {parameter} direction {direction}: gradient {expected:.6}, slope \
                         {slope:.6} ± {tolerance:.6}"
                    ));
                }
                if direction == 0 {
                    tally.leaning += 1;
                    tally.clear += usize::from(slope.abs() > 5.0 * tolerance);
                }
            }
            let original = [(parameter.clone(), value.clone())].into();
            store.load(Role::Value, &original).expect("weights");
        }
        let (clear, leaning) = (tally.clear - before.0, tally.leaning - before.1);
        println!("{name}: {clear} of {leaning} slopes stand out");
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn unit(mut values: Vec<f32>) -> Vec<f32> {
    let length = dot(&values, &values).sqrt().max(1e-30) as f32;
    values.iter_mut().for_each(|v| *v /= length);
    values
}
