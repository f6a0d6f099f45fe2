//! Pruning against golden values and against itself.

pub mod case;
pub mod detectors;
pub mod golden;
pub mod registry;
