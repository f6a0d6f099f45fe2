//! Pruning and quantisation of networks.
//!
//! [`prune`] removes channels. [`quantise`] puts layers on integer grids, and holds the arithmetic of grids with its
//! gradients; [`observe`] finds the range of a grid in data; [`integer`] runs networks on grids with integers.

mod error;
mod geometry;
#[cfg(feature = "flex")]
pub mod integer;
pub mod observe;
pub mod prune;
pub mod quantise;

pub use error::Error;
