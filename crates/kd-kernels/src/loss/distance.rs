//! Squared differences of two maps, by three rules.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::activation::relu;

#[cfg(feature = "flex")]
use self::kernel::Rule;
#[cfg(feature = "flex")]
use super::of_maps::of_maps;
#[cfg(feature = "flex")]
use crate::flex::fast;

/// Mean over batch and positions of `(student − target)²`, from maps
/// `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn squared_distance(student: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        return of_maps(Rule::Plain, [student, target]);
    }
    mean_squares(student - target.detach())
}

/// Mean over batch and positions of what the student's units lack to be on the target's side of zero
/// by `margin`, squared: `max(0, margin + s)²` where `t ≤ 0` and `max(0, margin − s)²` elsewhere, from
/// maps `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn boundary_distance(student: Tensor<4>, target: Tensor<4>, margin: f64) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        let [_, channels, ..] = student.dims();
        let options = (&student.device(), student.dtype());
        let margin = Tensor::full([1, channels, 1, 1], margin, options);
        return of_maps(Rule::Boundary, [student, target, margin]);
    }
    // 1 where the target is off and −1 where it is on: one expression for both sides.
    let side = target.detach().lower_equal_elem(0.0).float() * 2.0 - 1.0;
    let side = side.cast(student.dtype());
    mean_squares(relu(student * side + margin))
}

/// Mean over batch and positions of `(s − t')²` with `t' = max(t, margin)`, but where `t ≤ 0` only for
/// `s > t'`, from maps `[batch, channels, height, width]` of one shape and a `margin` `[channels]`,
/// `[channels]`.
///
/// Differentiable in the student alone.
pub fn one_sided_distance(student: Tensor<4>, target: Tensor<4>, margin: Tensor<1>) -> Tensor<1> {
    let [channels] = margin.dims();
    let margin = margin.reshape([1, channels, 1, 1]);
    #[cfg(feature = "flex")]
    if fast(&student) {
        return of_maps(Rule::OneSided, [student, target, margin]);
    }
    let (target, margin) = (target.detach(), margin.detach());
    let off = target.clone().lower_equal_elem(0.0);
    // The larger of the target and its margin.
    let target = relu(target - margin.clone()) + margin;
    let difference = student - target;
    // Where the target is off, a student that is lower still is where it should be.
    let low = difference.clone().detach().lower_equal_elem(0.0);
    mean_squares(difference.mask_fill(off.bool_and(low), 0.0))
}

/// Mean over batch and positions, `[channels]`.
pub(super) fn by_channel(map: Tensor<4>) -> Tensor<1> {
    let [batch, channels, height, width] = map.dims();
    // An axis at a time, so that sums stay in range; each is the last of a tensor that lies in
    // order, because webgpu gave other means over inner axes of length 1.
    let rows = map.reshape([batch * channels * height, width]).mean_dim(1);
    let planes = rows.reshape([batch * channels, height]).mean_dim(1);
    let samples = planes.reshape([batch, channels]).transpose();
    samples
        .reshape([channels, batch])
        .mean_dim(1)
        .reshape([channels])
}

pub(super) fn mean_squares(difference: Tensor<4>) -> Tensor<1> {
    by_channel(difference.square())
}
