//! Pictures, curves and logs. [`views`] is pure arithmetic for every platform; the rest writes
//! files.

#[cfg(feature = "native")]
pub mod confusion;
#[cfg(feature = "native")]
mod font;
#[cfg(feature = "native")]
pub mod grid;
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
