//! Steps that are learned.

use burn::tensor::Tensor;

use super::{Levels, straight_through};

/// The share of a step's gradient that is kept: `1 / √(numbers · levels.high)`, with the count of numbers that the step
/// is for.
pub fn lsq_gradient_scale(numbers: usize, levels: Levels) -> f64 {
    1.0 / (numbers as f64 * f64::from(levels.high)).sqrt()
}

/// The step to begin with: `2 · mean|x| / √levels.high`, one for all of `x`.
pub fn lsq_initial_step<const D: usize>(x: Tensor<D>, levels: Levels) -> Tensor<1> {
    x.detach().abs().mean() * (2.0 / f64::from(levels.high).sqrt())
}

/// `step · round(clamp(x / step))`, halves rounded to even. `step` is broadcast.
///
/// With `v = x / step`: the gradient of `x` passes where `v` is within the levels. That of `step` is `round(v) − v` there,
/// and the end of the levels elsewhere, times `gradient_scale` ([`lsq_gradient_scale`]).
///
/// Source: S. K. Esser, J. L. McKinstry, D. Bablani, R. Appuswamy, D. S. Modha, "Learned Step Size Quantization",
/// ICLR 2020.
pub fn lsq<const D: usize>(
    x: Tensor<D>,
    step: Tensor<D>,
    levels: Levels,
    gradient_scale: f64,
) -> Tensor<D> {
    on_steps(x, scaled(step, gradient_scale), levels, |v| v)
}

/// [`lsq`], but what counts as within the levels is `round(v)`: up to half a step outside of them the gradients are those
/// within. This is PyTorch's `_fake_quantize_learnable_per_tensor_affine`.
pub fn lsq_rounded<const D: usize>(
    x: Tensor<D>,
    step: Tensor<D>,
    levels: Levels,
    gradient_scale: f64,
) -> Tensor<D> {
    on_steps(x, scaled(step, gradient_scale), levels, Tensor::round)
}

/// [`lsq`] of `x − offset`, plus `offset`, whose gradient is 0 within the levels and 1 outside, times `gradient_scale`.
///
/// Source: Y. Bhalgat, J. Lee, M. Nagel, T. Blankevoort, N. Kwak, "LSQ+: Improving Low-Bit Quantization through
/// Learnable Offsets and Better Initialization", CVPR Workshops 2020.
pub fn lsq_plus<const D: usize>(
    x: Tensor<D>,
    step: Tensor<D>,
    offset: Tensor<D>,
    levels: Levels,
    gradient_scale: f64,
) -> Tensor<D> {
    let offset = scaled(offset, gradient_scale);
    on_steps(
        x - offset.clone(),
        scaled(step, gradient_scale),
        levels,
        |v| v,
    ) + offset
}

/// `place` says where a number lies, for which it is within the levels or not.
fn on_steps<const D: usize>(
    x: Tensor<D>,
    step: Tensor<D>,
    levels: Levels,
    place: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    let v = x / step.clone();
    let place = place(v.clone().detach());
    let outside = place
        .clone()
        .clamp(levels.low, levels.high)
        .not_equal(place);
    let level = v.clone().detach().round().clamp(levels.low, levels.high);
    let within = v.mask_where(outside, level.clone());
    straight_through(within, level) * step
}

/// The same value, with that share of its gradient.
fn scaled<const D: usize>(x: Tensor<D>, share: f64) -> Tensor<D> {
    straight_through(x.clone() * share, x)
}
