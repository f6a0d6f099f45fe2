//! Numbers on a grid: what quantisation computes, and its gradients.

mod adaround;
mod bias;
mod config;
mod dorefa;
mod equalise;
mod fake;
mod fold;
mod grid;
mod integer;
mod levels;
mod lsq;
mod pact;
mod qat;
mod quality;
mod rounding;

pub use adaround::{adaround_offset, adaround_regulariser, adaround_weight};
pub use bias::output_shift;
pub use config::{QuantiseConfig, Range, Rounding};
pub use dorefa::dorefa;
pub use equalise::{Equalised, equalise};
pub use fake::fake_quantise;
pub use fold::fold_batch_norm;
pub use grid::Grid;
pub use integer::{IntegerConvolution, requantise};
pub use levels::Levels;
pub use lsq::{lsq, lsq_gradient_scale, lsq_initial_step, lsq_plus, lsq_rounded};
pub use pact::pact;
pub use qat::{FoldedTraining, conv_bn_folded};
pub use quality::{LayerQuality, quality};

use burn::tensor::Tensor;
use kd_kernels::layers::LayerGrid;

/// A layer's input on its grid, and whether it was beyond its ends.
fn on_grid(grid: &LayerGrid, value: f32) -> (f32, bool) {
    let [low, high] = grid.levels;
    let zero = grid.zero_point as f32;
    let level = (value / grid.scale).round_ties_even() + zero;
    let kept = level.clamp(low as f32, high as f32);
    ((kept - zero) * grid.scale, kept != level)
}

/// `value`, whose gradient goes to `through` unchanged (Bengio, Léonard and Courville, arXiv 1308.3432).
pub(crate) fn straight_through<const D: usize>(through: Tensor<D>, value: Tensor<D>) -> Tensor<D> {
    value.detach() + (through.clone() - through.detach())
}
