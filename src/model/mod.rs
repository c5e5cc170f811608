//! The masked autoencoder and its parts, in the paper's order.

pub mod params;
pub mod position;
