//! The masked autoencoder and its parts, in the paper's order.

pub mod attention_map;
mod block;
pub mod classifier;
pub mod classify;
pub mod drops;
pub mod features;
pub mod init;
pub mod mae;
pub mod objective;
pub mod output;
pub mod params;
pub mod position;
pub mod predict;
pub mod reconstruct;
pub mod store;
