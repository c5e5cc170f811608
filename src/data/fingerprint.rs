//! Whether data is still the data that a run began with.

#[cfg(feature = "native")]
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

#[cfg(feature = "native")]
use super::sources::source::ImageSource;

/// Pictures that are looked at together.
#[cfg(feature = "native")]
const CHUNK: usize = 4096;

/// How many pictures a source has, and a checksum of their names and sizes, in order. What is in the files is not
/// read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Number of pictures.
    pub images: usize,
    /// CRC-32C of what each is known by, see [`super::ImageSource::identity`].
    pub checksum: u32,
}

#[cfg(feature = "native")]
impl Fingerprint {
    /// Of all pictures of `source`.
    pub fn of(source: &dyn ImageSource) -> Self {
        let images = source.len();
        let mut checksum = 0;
        for first in (0..images).step_by(CHUNK) {
            let chunk = first..images.min(first + CHUNK);
            let identities: Vec<_> = chunk.into_par_iter().map(|i| source.identity(i)).collect();
            for (name, size) in identities {
                let size = size.map_or(String::new(), |bytes| bytes.to_string());
                checksum = crc32c::crc32c_append(checksum, format!("{name}\0{size}\n").as_bytes());
            }
        }
        Self { images, checksum }
    }

    /// What is different `now`, if anything is; `part` is what they are for.
    pub fn change(&self, now: &Self, part: &str) -> Option<String> {
        let (before, after) = (self.images, now.images);
        match self == now {
            true => None,
            false if before == after => Some(format!(
                "the {after} {part} pictures are not those that the run began with: names or sizes differ"
            )),
            false => {
                Some(format!("the run began with {before} {part} pictures, now there are {after}"))
            }
        }
    }
}
