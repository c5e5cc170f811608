//! What a trained classifier says about pictures.

use super::classifier::ClassifierConfig;
use super::classify::{Input, classify};
use super::store::ParamStore;
use crate::error::{Error, Result};
use crate::program::{Device, Program, Recorder};

/// A forward pass of a classifier for a fixed number of inputs.
pub struct Predictor {
    classes: usize,
    input: Input,
    /// Values of one input.
    input_len: usize,
    batch: usize,
    program: Program,
}

impl Predictor {
    /// Records and builds it for up to `batch` inputs on the parameters of `store`.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration contradicts itself; [`Error::DoesNotFit`] or
    /// [`Error::Device`].
    pub fn new(
        device: &Device,
        config: &ClassifierConfig,
        input: Input,
        batch: usize,
        store: &ParamStore,
    ) -> Result<Self> {
        config.validate()?;
        let program = Program::record(device, store.buffers(), |target| {
            let mut rec = Recorder::new(target, false);
            store.layout().declare(&mut rec, false);
            let logits = classify(&mut rec, config, batch, input, false).logits;
            rec.keep(logits, "logits");
            rec
        })?;
        let input_len = match input {
            Input::Images => config.model.image_len(),
            Input::Features => config.model.encoder.dim,
        };
        Ok(Self { classes: config.classes, input, input_len, batch, program })
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Inputs that go through at a time.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// The logits, `classes` for each of `inputs`: `C·H·W` normalised pixels each, or `D` values.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is no number of whole inputs, or there are more than the program takes;
    /// [`Error::Device`] if the device failed.
    pub async fn run(&self, inputs: &[f32]) -> Result<Vec<f32>> {
        let count = inputs.len() / self.input_len;
        if !inputs.len().is_multiple_of(self.input_len) || count > self.batch {
            let problem = format!(
                "{} values; up to {} inputs of {} are expected",
                inputs.len(),
                self.batch,
                self.input_len
            );
            return Err(Error::argument(self.input.label(), problem));
        }
        self.program.write(self.input.label(), inputs);
        self.program.submit();
        let mut logits: Vec<f32> = self.program.read("logits").await?;
        logits.truncate(count * self.classes);
        Ok(logits)
    }
}

/// The probabilities of `logits`, one a class.
pub fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|&x| (x - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

/// The classes from the largest logit to the smallest, ties by number.
pub fn ranked(logits: &[f32]) -> Vec<usize> {
    let mut classes: Vec<usize> = (0..logits.len()).collect();
    classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    classes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_and_ranks_follow_the_logits() {
        let p = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(p, [0.5, 0.5, 0.0]);
        assert_eq!(ranked(&[0.0, 3.0, 3.0, -1.0]), [1, 2, 0, 3]);
    }
}
