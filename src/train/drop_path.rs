//! Which residual branches are dropped for which samples.

use crate::data::Batch;
use crate::model::classifier::ClassifierConfig;
use crate::philox::Rng;

/// First word of the random streams of drop-path.
const DROP_PATH: u32 = 0x0D20_9A74;

/// The factor of every residual branch `[connections, B]` for a batch: a function of the seed, the epoch
/// and each draw alone.
pub(super) fn drop_path_scales(config: &ClassifierConfig, seed: u64, batch: &Batch) -> Vec<f32> {
    let rates = config.drop_rates();
    let mut scales = vec![0.0; rates.len() * batch.len()];
    for (sample, &draw) in batch.draw_ids.iter().enumerate() {
        let mut rng = Rng::new(seed, [DROP_PATH, batch.epoch, draw]);
        for (connection, rate) in rates.iter().enumerate() {
            if rng.uniform() >= *rate {
                scales[connection * batch.len() + sample] = 1.0 / (1.0 - rate);
            }
        }
    }
    scales
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ModelConfig;
    use crate::model::classifier::{Head, Pool, Trainable};

    fn config() -> ClassifierConfig {
        ClassifierConfig {
            model: ModelConfig::preset("tiny").unwrap(),
            pool: Pool::Mean,
            head: Head::Full,
            classes: 2,
            trainable: Trainable::All,
            learned_positions: true,
            drop_path: 0.5,
        }
    }

    fn batch(draw_ids: Vec<u32>, epoch: u32) -> Batch {
        Batch {
            images: Vec::new(),
            sample_ids: draw_ids.clone(),
            draw_ids,
            labels: None,
            targets: Vec::new(),
            tokens: Vec::new(),
            epoch,
        }
    }

    #[test]
    fn branches_are_dropped_as_often_as_they_should_and_kept_ones_make_up_for_it() {
        let config = config();
        let count = 20_000;
        let scales = drop_path_scales(&config, 3, &batch((0..count as u32).collect(), 0));
        for (scales, rate) in scales.chunks_exact(count).zip(config.drop_rates()) {
            let kept = 1.0 / (1.0 - rate);
            assert!(scales.iter().all(|&s| s == 0.0 || s == kept));
            let mean = scales.iter().map(|&s| f64::from(s)).sum::<f64>() / count as f64;
            // Five standard errors of a share.
            let error = (f64::from(rate * kept) / count as f64).sqrt();
            assert!((mean - 1.0).abs() <= 5.0 * error, "rate {rate}: mean {mean}");
        }
        assert!(scales[..2 * count].iter().all(|&s| s == 1.0), "the first block is never dropped");
    }

    #[test]
    fn a_sample_is_treated_alike_in_every_batch_of_an_epoch() {
        let config = config();
        let of = |draws: &[u32], epoch, place: usize| -> Vec<f32> {
            let scales = drop_path_scales(&config, 3, &batch(draws.to_vec(), epoch));
            scales.chunks_exact(draws.len()).map(|row| row[place]).collect()
        };
        let (first, second) = (of(&[7, 8, 9], 1, 0), of(&[4, 7], 1, 1));
        assert_eq!(first, second);
        assert_ne!(first, of(&[7], 2, 0));
        assert_ne!(first, of(&[8], 1, 0));
    }
}
