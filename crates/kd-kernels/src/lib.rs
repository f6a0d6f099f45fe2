//! Fast CPU kernels for convolutional networks and transformers on burn's Flex backend, with their gradients.
//!
//! The functions of this crate take and return ordinary [`Tensor`](burn::tensor::Tensor)s of shape
//! `[batch, channels, height, width]`, or rows of tokens `[batch, tokens, width]`. On a Flex device with
//! `f32` values they run kernels of their own; anywhere else (another backend, another dtype, or the
//! feature `flex` off) they are composed of burn's operations, so a network written with them runs everywhere.
//!
//! Between two of these functions a map lies in memory channels last, which only its strides
//! tell: burn's own operations can read it like any other view.
//!
//! The environment variable `KD_KERNELS` chooses: `off` composes everything, and `avx512`, `avx2`,
//! `neon` or `portable` asks for an instruction set; by default the best that the processor has is
//! taken.

#![allow(
    clippy::needless_range_loop,
    reason = "an index runs over several arrays of a register tile at once"
)]

#[cfg(all(test, feature = "flex"))]
mod every_kernel;
#[cfg(feature = "flex")]
mod flex;
#[cfg(feature = "flex")]
mod images;
#[cfg(feature = "flex")]
pub mod int8;
pub mod layers;
mod loss;
mod memory;
mod mode;
mod nn;
mod prepared;
#[cfg(feature = "flex")]
mod simd;
mod tasks;
#[cfg(feature = "flex")]
mod team;
#[cfg(all(test, feature = "flex"))]
mod test_memory;

pub use loss::*;
pub use memory::keep_freed_memory;
#[doc(hidden)]
pub use mode::kernel_calls;
pub use mode::{BadMode, Mode, mode};
pub use nn::*;
pub use prepared::PreparedWeights;
#[cfg(feature = "flex")]
pub use simd::Isa;
pub use tasks::{on_pool, together};

#[cfg(feature = "flex")]
pub(crate) use mode::isa;
