//! Smooth L1: quadratic near 0, linear beyond.

use burn::tensor::Tensor;

/// `½ d² / β` where `|d| < β`, else `|d| − ½ β`, of each element of a difference; in its unit.
///
/// Source: R. Girshick, "Fast R-CNN", ICCV 2015.
///
/// # Panics
/// When `beta` is not above 0.
pub fn smooth_l1<const D: usize>(difference: Tensor<D>, beta: f64) -> Tensor<D> {
    assert!(beta > 0.0, "beta = {beta} must be above 0");
    let size = difference.abs();
    // The part up to beta is quadratic, what is beyond is linear.
    let near = size.clone().clamp_max(beta);
    near.clone().square() * (0.5 / beta) + (size - near)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn it_is_quadratic_up_to_beta_and_linear_beyond() {
        let d = Tensor::<1>::from_floats([0.0, 1.0, -2.0, 4.0], &Device::flex());
        let loss: Vec<f32> = smooth_l1(d, 2.0).into_data().iter().collect();
        assert_eq!(loss, [0.0, 0.25, 1.0, 3.0]);
    }
}
