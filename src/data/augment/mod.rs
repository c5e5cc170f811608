//! From a decoded picture to a sample: cropped, resized, coloured and mixed, as torchvision, PIL and timm do it.

mod affine;
mod bicubic;
mod change;
pub mod color;
pub mod erasing;
pub mod mix;
pub mod rand_augment;
mod rectangle;
pub mod resize;
pub mod transform;
