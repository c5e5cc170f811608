//! The images of a training step that is measured. They reach the device as they do in training.

use std::time::Duration;

use web_time::Instant;

#[cfg(not(feature = "native"))]
use super::LOOK_EVERY;
use crate::error::Result;
use crate::ops::optimizer::Scalars;
use crate::program::Device;
#[cfg(feature = "native")]
use crate::program::{Staged, Staging, Uploads};
use crate::train::step::{BatchData, TrainStep};

/// Images that are always the same: a thread has them in staging memory before they are asked for, and thereby bounds
/// how far ahead steps are submitted.
#[cfg(feature = "native")]
pub(super) struct Images(Uploads<Staged>);

/// Images that are always the same, and copied for every step.
#[cfg(not(feature = "native"))]
pub(super) struct Images(Vec<f32>);

#[cfg(feature = "native")]
impl Images {
    /// # Errors
    /// As [`Uploads::start`].
    pub fn new(device: &Device, step: &TrainStep, images: Vec<f32>) -> Result<Self> {
        let stage = move |staging: &mut Staging| staging.stage(bytemuck::cast_slice(&images));
        Uploads::start(device, step.image_bytes(), stage).map(Self)
    }

    /// Runs a step; may wait until images are staged. Returns the time that submitting took.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn train(
        &mut self,
        step: &mut TrainStep,
        scalars: Scalars,
        batch: BatchData<'_>,
    ) -> Result<Duration> {
        let images = self.0.take()?;
        let began = Instant::now();
        step.run_staged(0, scalars, images, batch);
        Ok(began.elapsed())
    }
}

#[cfg(not(feature = "native"))]
impl Images {
    /// Never fails.
    pub fn new(_: &Device, _: &TrainStep, images: Vec<f32>) -> Result<Self> {
        Ok(Self(images))
    }

    /// Runs a step; may wait for earlier ones. Returns the time that submitting took.
    ///
    /// # Errors
    /// [`crate::Error::Device`] if the device failed.
    pub async fn train(
        &mut self,
        step: &mut TrainStep,
        scalars: Scalars,
        batch: BatchData<'_>,
    ) -> Result<Duration> {
        let began = Instant::now();
        step.run_batch(0, scalars, BatchData { images: &self.0, ..batch });
        let took = began.elapsed();
        if scalars.step % LOOK_EVERY == LOOK_EVERY - 1 {
            if step.has_requested_metrics() {
                step.metrics(0).await?;
            }
            step.request_metrics();
        }
        Ok(took)
    }
}
