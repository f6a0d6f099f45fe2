//! Quantisation of networks.
//!
//! [`quantise`] holds the arithmetic of integer grids with its gradients, and [`observe`] finds the range of a grid in
//! data.

mod error;
pub mod observe;
pub mod prune;
pub mod quantise;

pub use error::Error;
