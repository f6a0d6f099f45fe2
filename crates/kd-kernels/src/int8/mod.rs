//! Layers that compute with 8-bit integers, on plain slices.
//!
//! A map is one image, channels last, whose numbers are integers of a [`ByteGrid`] or floats. A border of pixels with the
//! number 0 lies around it where a convolution reads beyond its edge. Weights are integers of symmetric grids, one for each
//! output, and are brought into the order in which a register tile reads them once, when a layer is built.
//!
//! A value of a layer is `clamp(round(v) + zero)`, halves to even, or `clamp(v)` where the output is floats, with
//! `v = sum · m` or, with a residual, `v = sum · m + (r − zero of r) · n`. The sum is of 32-bit integers and exact; products and
//! sums of floats are rounded one by one, so every instruction set gives the same bits.
//!
//! Source: B. Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
//! Inference", CVPR 2018.

mod add;
mod channels;
mod convolution;
mod finish;
mod grid;
mod images;
mod lanes;
mod map;
mod pool;
mod program;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

pub use add::Add;
pub use channels::Channels;
pub use convolution::{Convolution, ConvolutionSpec};
pub use grid::{ByteGrid, IntegerError};
pub use images::Images;
pub use lanes::IntegerSet;
pub use map::{Data, Map};
pub use pool::{Pool, PoolKind, PoolSpec};
pub use program::{Operation, Program, Step};
