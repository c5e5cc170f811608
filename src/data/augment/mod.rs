//! From a decoded picture to a sample: cropped, resized, coloured and mixed, as torchvision, PIL and timm do it.

#[cfg(feature = "labels")]
mod affine;
mod bicubic;
#[cfg(feature = "labels")]
mod change;
pub mod color;
#[cfg(feature = "labels")]
pub mod erasing;
#[cfg(feature = "labels")]
pub mod mix;
#[cfg(feature = "labels")]
pub mod rand_augment;
mod rectangle;
pub mod resize;
pub mod transform;
