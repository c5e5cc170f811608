//! File formats and writing that does not leave halves behind: bytes, tensors and text, no model words.

#[cfg(feature = "native")]
mod atomic;
pub mod listing;
#[cfg(feature = "native")]
pub mod pth;
pub mod safetensors;
#[cfg(feature = "native")]
pub mod set_keys;
#[cfg(feature = "native")]
mod tensor_file;

#[cfg(feature = "native")]
pub use atomic::atomic_write;
#[cfg(feature = "native")]
pub use tensor_file::TensorFile;
