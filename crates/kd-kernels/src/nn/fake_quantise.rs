//! Quantisation and back.

use burn::tensor::{DType, Tensor};

/// `(clamp(round(x / scale) + zero_point) − zero_point) · scale`, halves rounded to even, with the integers from `low` to
/// `high`. `scale` and `zero_point` are broadcast: `[1, …]` for one grid, `[channels, 1, …]` for one a channel. Scales are
/// single precision numbers, and `x` is multiplied by their reciprocals, as PyTorch does: it decides the largest weight of
/// a grid with an end at a half.
///
/// The gradient of `x` passes where `round(x / scale) + zero_point` is a level, and is 0 elsewhere; `scale` and
/// `zero_point` get none.
///
/// Source: B. Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
/// Inference", CVPR 2018.
pub fn fake_quantise<const D: usize>(
    x: Tensor<D>,
    scale: Tensor<D>,
    zero_point: Tensor<D>,
    [low, high]: [i32; 2],
) -> Tensor<D> {
    let inverse = scale.clone().cast(DType::F32).recip().cast(x.dtype());
    let placed = (x.clone() * inverse).round() + zero_point.clone();
    let placed = placed.detach();
    let kept = placed.clone().clamp(low, high);
    let outside = placed.not_equal(kept.clone());
    let value = (kept - zero_point) * scale;
    let through = x.mask_fill(outside, 0.0);
    value.detach() + (through.clone() - through.detach())
}
