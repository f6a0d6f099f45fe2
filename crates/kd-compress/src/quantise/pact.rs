//! A clip that is learned.

use burn::tensor::Tensor;

use super::straight_through;
use crate::Error;

/// `x` clipped to `[0, alpha]`, on `2^bits` levels: `round(y · n / alpha) · alpha / n` with `n = 2^bits − 1`. `alpha` is
/// broadcast.
///
/// The gradient of `x` passes between 0 and `alpha`; that of `alpha` is 1 where `x ≥ alpha` and 0 elsewhere.
///
/// Source: J. Choi, Z. Wang, S. Venkataramani, P. I.-J. Chuang, V. Srinivasan, K. Gopalakrishnan, "PACT: Parameterized
/// Clipping Activation for Quantized Neural Networks", arXiv 1805.06085, 2018.
///
/// # Errors
/// [`Error::Option`] for no bits, or more than 16.
pub fn pact<const D: usize>(x: Tensor<D>, alpha: Tensor<D>, bits: u32) -> Result<Tensor<D>, Error> {
    let levels = super::Levels::unsigned(bits)?;
    let limit = alpha.expand(x.shape());
    let above = x.clone().greater_equal(limit.clone());
    let clipped = x.clamp_min(0.0).mask_where(above, limit.clone());
    let step = limit / f64::from(levels.high);
    let value = (clipped.clone() / step.clone()).round() * step;
    Ok(straight_through(clipped, value))
}
