//! Pictures, curves and logs. [`views`], [`baseline`], [`fidelity`] and [`masked_picture`] are pure arithmetic for
//! every platform; the rest writes files.

pub mod accuracy;
pub mod baseline;
#[cfg(feature = "native")]
pub mod confusion;
pub mod fidelity;
#[cfg(feature = "native")]
mod font;
#[cfg(feature = "native")]
pub mod grid;
pub mod masked_picture;
#[cfg(feature = "native")]
pub mod metrics;
#[cfg(feature = "native")]
mod picture;
#[cfg(feature = "native")]
pub mod plot;
#[cfg(feature = "native")]
pub mod study;
#[cfg(feature = "native")]
pub mod tensorboard;
#[cfg(feature = "native")]
mod text;
pub mod views;

#[cfg(feature = "native")]
pub use picture::Picture;
