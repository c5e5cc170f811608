//! What stands for the parts of a recipe that only training with labels has, in builds without the feature `labels`.

use serde::de::{Deserialize, Deserializer, Error};

/// Nothing is of this type: an `Option` of it is `None`, and a recipe that has such a part cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub enum Absent {}

impl<'de> Deserialize<'de> for Absent {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(D::Error::custom("it is of a run with labels, which go on with the command line"))
    }
}
