//! The length of vectors, and vectors brought to length 1.

use burn::tensor::{DType, Tensor};
use kd_kernels::unit_rows;

/// A vector whose largest entry is no larger than this has no direction.
pub(super) const ZERO: f64 = 1e-12;

/// Vectors along the last dimension, each divided by its Euclidean norm.
///
/// A vector of (all but) zeros stays as it is, and so does its gradient: it is not blown up by the
/// division. No square overflows.
pub(super) fn unit<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    directions(x, ZERO)
}

/// [`unit`] for vectors of products of two numbers.
pub(super) fn unit_products<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    directions(x, ZERO * ZERO)
}

fn directions<const D: usize>(x: Tensor<D>, zero: f64) -> Tensor<D> {
    let shape = x.dims();
    let [outer @ .., width] = &shape[..] else {
        return x;
    };
    let rows = x.clone().reshape([outer.iter().product(), *width]);
    unit_rows(rows, zero).reshape(shape)
}

/// Maps `[batch, ..]` of which products of two numbers stay in range: for what does not depend on a sample's
/// size. Half precision holds no square beyond 256, so that there a sample is divided by its largest entry, a
/// factor that needs no gradient; other types hold those of any map up to 1e18.
pub(super) fn for_products(map: Tensor<4>) -> Tensor<4> {
    let wide = |largest: f64| largest > 1e30;
    if map.dtype().finfo().is_none_or(|range| wide(range.max)) {
        return map;
    }
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

/// The same numbers in a precision of at least 24 bits: half precision holds neither the small constants of a
/// loss nor its intermediate squares and sums. For what is `[batch, ..]` small; the loss goes back to the type of
/// its inputs by [`Tensor::cast`].
pub(super) fn widened<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match x.dtype() {
        DType::F16 | DType::BF16 => x.cast(DType::F32),
        _ => x,
    }
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
