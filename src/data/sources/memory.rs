//! Pictures that are decoded already.

use super::source::ImageSource;
use crate::data::pixels::Decoded;
use crate::error::Result;

/// Pictures in memory, all of the same number of channels; without classes.
#[derive(Debug, Default, Clone)]
pub struct Memory {
    channels: usize,
    pictures: Vec<Decoded>,
}

impl Memory {
    /// None yet, of `channels` channels.
    pub fn new(channels: usize) -> Self {
        Self { channels, pictures: Vec::new() }
    }

    /// Adds a picture.
    ///
    /// # Panics
    /// If it has another number of channels.
    pub fn push(&mut self, picture: impl Into<Decoded>) {
        let picture = picture.into();
        assert_eq!(picture.channels(), self.channels, "channels of a picture");
        self.pictures.push(picture);
    }
}

impl ImageSource for Memory {
    fn len(&self) -> usize {
        self.pictures.len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn class_names(&self) -> &[String] {
        &[]
    }

    fn name(&self, index: usize) -> String {
        format!("picture {index}")
    }

    fn decode(&self, index: usize) -> Result<Decoded> {
        Ok(self.pictures[index].clone())
    }

    fn describe(&self) -> String {
        format!("{} pictures in memory", self.pictures.len())
    }
}
