//! Pruning and quantisation of networks.
//!
//! [`quantise`] holds the arithmetic of integer grids with its gradients, [`observe`] finds the range of a grid in data,
//! and [`prune`] removes whole channels of any network, found by the graph of its forward pass.

mod error;
pub mod observe;
pub mod prune;
pub mod quantise;

pub use error::Error;
