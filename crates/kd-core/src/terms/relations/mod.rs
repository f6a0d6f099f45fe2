//! Losses of how samples relate to each other.

pub mod cc;
pub mod crd;
pub mod lsp;
mod memory;
pub mod pkt;
pub mod rkd;
pub mod sp;
