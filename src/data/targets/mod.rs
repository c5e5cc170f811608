//! What is predicted in place of pixels, found in the data or read from a file.

pub mod kmeans;
pub mod pca;
pub mod tokens;
