//! Rounding up or down, learned weight by weight.
//!
//! Source: M. Nagel, R. A. Amjad, M. van Baalen, C. Louizos, T. Blankevoort, "Up or Down? Adaptive Rounding for
//! Post-Training Quantization", ICML 2020.

use burn::tensor::Tensor;
use burn::tensor::activation::sigmoid;

use super::Levels;

/// Ends of the stretched sigmoid.
const ZETA: f64 = 1.1;
const GAMMA: f64 = -0.1;

/// How far a weight is rounded up, `clamp(sigmoid(v) · (ζ − γ) + γ, 0, 1)` with ζ = 1.1 and γ = −0.1.
pub fn adaround_offset<const D: usize>(v: Tensor<D>) -> Tensor<D> {
    (sigmoid(v) * (ZETA - GAMMA) + GAMMA).clamp(0.0, 1.0)
}

/// What draws the offsets to 0 or 1: `Σ 1 − |2h(v) − 1|^beta`.
pub fn adaround_regulariser<const D: usize>(v: Tensor<D>, beta: f64) -> Tensor<1> {
    let distance = (adaround_offset(v) * 2.0 - 1.0).abs();
    (-distance.powf_scalar(beta) + 1.0).sum()
}

/// The weight that `v` makes: `scale · clamp(floor(w / scale) + h(v))`. `scale` is broadcast. Only `v` gets a gradient.
pub fn adaround_weight<const D: usize>(
    weight: Tensor<D>,
    scale: Tensor<D>,
    v: Tensor<D>,
    levels: Levels,
) -> Tensor<D> {
    let below = (weight / scale.clone()).floor().detach();
    (below + adaround_offset(v)).clamp(levels.low, levels.high) * scale
}
