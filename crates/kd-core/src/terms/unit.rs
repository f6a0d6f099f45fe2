//! The length of vectors, and vectors brought to length 1.

use burn::tensor::Tensor;

/// A vector whose largest entry is no larger than this has no direction.
const ZERO: f64 = 1e-12;

/// Vectors along the last dimension, each divided by its Euclidean norm.
///
/// A vector of (all but) zeros stays as it is, and so does its gradient: it is not blown up by the
/// division. Entries are first divided by the largest of them, so that no square overflows; that
/// factor cancels and needs no gradient.
pub(super) fn unit<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let largest = x.clone().detach().abs().max_dim(D - 1);
    let zero = largest.clone().lower_equal_elem(ZERO);
    let x = x / largest.mask_fill(zero.clone(), 1.0);
    let norm = x
        .clone()
        .square()
        .sum_dim(D - 1)
        .mask_fill(zero, 1.0)
        .sqrt();
    x / norm
}

/// Maps `[batch, ..]` whose samples are divided by their largest entry, so that no square overflows: for
/// what does not depend on a sample's size. That factor needs no gradient.
pub(super) fn within_one(map: Tensor<4>) -> Tensor<4> {
    let [batch, ..] = map.dims();
    let largest: Tensor<2> = map.clone().detach().abs().flatten(1, 3);
    let largest = largest.max_dim(1);
    let silent = largest.clone().equal_elem(0.0);
    map / largest.mask_fill(silent, 1.0).reshape([batch, 1, 1, 1])
}

/// Euclidean norm of rows, `[rows, 1]`. Where it is 0 the square root has no gradient, and so
/// none is passed on.
pub(super) fn norm(rows: Tensor<2>) -> Tensor<2> {
    let squared = rows.square().sum_dim(1);
    let zero = squared.clone().detach().equal_elem(0.0);
    squared
        .mask_fill(zero.clone(), 1.0)
        .sqrt()
        .mask_fill(zero, 0.0)
}

/// Distance from 1 to the next number that the tensor's type can hold.
pub(super) fn precision<const D: usize>(x: &Tensor<D>) -> f64 {
    x.dtype()
        .finfo()
        .map_or(f64::from(f32::EPSILON), |f| f.epsilon)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn directions_survive_any_size() {
        let device = Device::flex().autodiff();
        let x = Tensor::<2>::from_floats([[3e30, 4e30], [-3e-9, 0.0], [0.0, 0.0]], &device)
            .require_grad();
        let found = unit(x.clone());
        let gradients = (found.clone() * 2.0).sum().backward();
        let found: Vec<f32> = found.into_data().iter().collect();
        for (found, expected) in found.into_iter().zip([0.6, 0.8, -1.0, 0.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let gradient: Vec<f32> = x.grad(&gradients).unwrap().into_data().iter().collect();
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
        assert_eq!(gradient[4..], [2.0, 2.0]);
    }
}
