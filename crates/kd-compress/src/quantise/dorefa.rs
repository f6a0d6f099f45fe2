//! Weights of a few bits between −1 and 1.

use burn::tensor::Tensor;

use super::straight_through;
use crate::Error;

/// `2 · q(tanh(w) / (2 · max|tanh(w)|) + ½) − 1`, where `q` rounds to the nearest of `2^bits` levels of `[0, 1]`. The
/// maximum carries no gradient, and the rounding passes it.
///
/// Source: S. Zhou, Y. Wu, Z. Ni, X. Zhou, H. Wen, Y. Zou, "DoReFa-Net", arXiv 1606.06160, 2016.
///
/// # Errors
/// [`Error::Option`] for no bits, or more than 16.
pub fn dorefa<const D: usize>(weight: Tensor<D>, bits: u32) -> Result<Tensor<D>, Error> {
    let levels = f64::from(super::Levels::unsigned(bits)?.high);
    let bounded = weight.tanh();
    let largest = bounded.clone().abs().max().detach().reshape([1; D]);
    let unit = bounded / (largest * 2.0) + 0.5;
    let value = (unit.clone() * levels).round() / levels;
    Ok(straight_through(unit, value) * 2.0 - 1.0)
}
