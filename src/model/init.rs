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
            Init::SinCos { lead } => {
                let dim = *spec.shape.last().expect("a table has a width");
                let mut table = sin_cos_2d(dim, grid, lead);
                table.resize(spec.len(), 0.0);
                table
            }
        };
        (spec.name.clone(), HostTensor::new(spec.shape.clone(), data))
    };
    by_name(specs.iter().enumerate().map(tensor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, Positions, Variant};
    use crate::model::params::mae_params;

    #[test]
    fn fixed_positions_are_of_the_grid_and_learned_ones_random() {
        for variant in [Variant::Paper, Variant::Plain, Variant::VitPytorch] {
            let tables = |positions| {
                let tiny = ModelConfig::preset("tiny").unwrap();
                let config = ModelConfig { variant, positions: Some(positions), ..tiny };
                config.validate().unwrap();
                let params = mae_params(&config);
                let [encoder, decoder] = ["pos_embed", "decoder_pos_embed"]
                    .map(|name| params.iter().find(|param| param.name == name).unwrap().clone());
                let values = init_params(&[encoder.clone(), decoder.clone()], config.grid(), 1);
                (encoder, decoder, values)
            };
            let (encoder, decoder, values) = tables(Positions::Sincos);
            assert!(!encoder.trainable && !decoder.trainable);
            let zeros = [encoder, decoder].map(|param| {
                let dim = param.shape[2];
                let rows: Vec<&[f32]> = values[&param.name].data.chunks(dim).collect();
                assert_eq!(rows.len(), 65);
                (0..65).filter(|&i| rows[i].iter().all(|&x| x == 0.0)).collect::<Vec<_>>()
            });
            let without_patch = if variant == Variant::Paper { 0 } else { 64 };
            assert_eq!(zeros, [vec![0], vec![without_patch]], "{variant:?}");

            let (encoder, decoder, values) = tables(Positions::Learned);
            let expected = if variant == Variant::Paper { 0.02 } else { 1.0 };
            for param in [encoder, decoder] {
                assert!(param.trainable && param.decayed);
                let values = &values[&param.name].data;
                let squares: f32 = values.iter().map(|x| x * x).sum();
                let deviation = (squares / values.len() as f32).sqrt();
                assert!((deviation / expected - 1.0).abs() < 0.03, "{variant:?}: {deviation}");
            }
        }
    }
}
