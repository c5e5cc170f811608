//! How parameters begin.

use super::params::{Init, ParamSpec};
use super::position::sin_cos_2d;
use crate::philox::Rng;
use crate::tensor::{HostTensor, TensorMap, by_name};

/// First word of the random stream for initial parameters; masks and data use others.
const STREAM: u32 = 0x1217;

/// Initial values of every parameter: a function of `seed` and each parameter's place in the table
/// alone. `grid` is the model's `[h, w]` in patches.
pub fn init_params(specs: &[ParamSpec], grid: [usize; 2], seed: u64) -> TensorMap {
    let tensor = |(i, spec): (usize, &ParamSpec)| {
        let mut rng = Rng::new(seed, [STREAM, i as u32, 0]);
        let mut fill = |draw: &mut dyn FnMut(&mut Rng) -> f32| -> Vec<f32> {
            (0..spec.len()).map(|_| draw(&mut rng)).collect()
        };
        let data = match spec.init {
            Init::Zeros => vec![0.0; spec.len()],
            Init::Ones => vec![1.0; spec.len()],
            Init::XavierUniform { fan_in, fan_out } => {
                let bound = (6.0 / (fan_in + fan_out) as f32).sqrt();
                fill(&mut |rng| rng.range(-bound, bound))
            }
            Init::KaimingUniform { fan_in } => {
                let bound = 1.0 / (fan_in as f32).sqrt();
                fill(&mut |rng| rng.range(-bound, bound))
            }
            Init::Normal(deviation) => fill(&mut |rng| deviation * rng.normal()),
            Init::SinCos => {
                let dim = *spec.shape.last().expect("a table has a width");
                sin_cos_2d(dim, grid, true)
            }
        };
        (spec.name.clone(), HostTensor::new(spec.shape.clone(), data))
    };
    by_name(specs.iter().enumerate().map(tensor))
}
