//! What losses compare of two maps.

use burn::tensor::activation::{log_softmax, relu, softmax};
use burn::tensor::module::adaptive_avg_pool2d;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, module};

#[cfg(feature = "flex")]
use super::fast;
#[cfg(feature = "flex")]
use crate::loss::distance::Rule;
#[cfg(feature = "flex")]
use crate::loss::products::Along;

/// As `kernel!`, for the operations of this file.
macro_rules! map_kernel {
    ($x:expr, $operation:ident($($argument:expr),*)) => {
        #[cfg(feature = "flex")]
        if fast($x) {
            return Tensor::from_dispatch(
                <burn::backend::Dispatch as crate::flex::maps::MapOps>::$operation($($argument),*),
            );
        }
    };
}

/// Mean over batch and positions of `(student − target)²`, from maps
/// `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn squared_distance(student: Tensor<4>, target: Tensor<4>) -> Tensor<1> {
    map_kernel!(
        &student,
        kernel_distance(
            student.into_dispatch(),
            target.into_dispatch(),
            None.into(),
            Rule::Plain
        )
    );
    mean_squares(student - target.detach())
}

/// Mean over batch and positions of what the student's units lack to be on the target's side of zero
/// by `margin`, squared: `max(0, margin + s)²` where `t ≤ 0` and `max(0, margin − s)²` elsewhere, from
/// maps `[batch, channels, height, width]` of one shape, `[channels]`.
///
/// Differentiable in the student alone.
pub fn boundary_distance(student: Tensor<4>, target: Tensor<4>, margin: f64) -> Tensor<1> {
    let [_, _channels, ..] = student.dims();
    map_kernel!(
        &student,
        kernel_distance(
            student.clone().into_dispatch(),
            target.into_dispatch(),
            Some(
                Tensor::<1>::full([_channels], margin, (&student.device(), student.dtype()))
                    .into_dispatch()
            )
            .into(),
            Rule::Boundary
        )
    );
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
    map_kernel!(
        &student,
        kernel_distance(
            student.into_dispatch(),
            target.into_dispatch(),
            Some(margin.into_dispatch()).into(),
            Rule::OneSided
        )
    );
    let [channels] = margin.dims();
    let (target, margin) = (
        target.detach(),
        margin.detach().reshape([1, channels, 1, 1]),
    );
    let off = target.clone().lower_equal_elem(0.0);
    // The larger of the target and its margin.
    let target = relu(target - margin.clone()) + margin;
    let difference = student - target;
    // Where the target is off, a student that is lower still is where it should be.
    let low = difference.clone().detach().lower_equal_elem(0.0);
    mean_squares(difference.mask_fill(off.bool_and(low), 0.0))
}

/// Of each channel, the mean over batch and positions of its negative part, `min(x, 0)`, and how often it is
/// negative, `[2, channels]`, from a map `[batch, channels, height, width]`. It has no gradient.
pub fn negative_part(x: Tensor<4>) -> Tensor<2> {
    map_kernel!(&x, kernel_negative_part(x.into_dispatch()));
    let x = x.detach();
    let often = by_channel(x.clone().lower_elem(0.0).float());
    let part = by_channel(relu(x.neg())).neg();
    Tensor::stack(vec![part.clone(), often.cast(part.dtype())], 0)
}

/// Mean over batch and positions, `[channels]`.
fn by_channel(map: Tensor<4>) -> Tensor<1> {
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

fn mean_squares(difference: Tensor<4>) -> Tensor<1> {
    by_channel(difference.square())
}

/// [`squared_distance`] of maps whose channels are each brought to mean 0 and divided by their unbiased
/// standard deviation over batch and positions, plus `epsilon`. A constant channel becomes 0.
///
/// Differentiable in the student alone.
pub fn standardised_distance(student: Tensor<4>, target: Tensor<4>, epsilon: f64) -> Tensor<1> {
    map_kernel!(
        &student,
        kernel_pearson(student.into_dispatch(), target.into_dispatch(), epsilon)
    );
    let [student, target] = [student, target.detach()].map(|map| standardised(map, epsilon));
    mean_squares(student - target)
}

fn standardised(map: Tensor<4>, epsilon: f64) -> Tensor<4> {
    let shape = map.dims();
    let [batch, channels, height, width] = shape;
    let count = batch * height * width;
    let means = |map| by_channel(map).reshape([1, channels, 1, 1]);
    // Divided by the largest entry, no square overflows. That factor cancels, but for epsilon.
    let largest = map.clone().detach().abs();
    let largest = largest.max_dim(3).max_dim(2).max_dim(0);
    let silent = largest.clone().equal_elem(0.0);
    let largest = largest.mask_fill(silent, 1.0);
    let map = map / largest.clone();
    let centred = map.clone() - means(map);
    // A single number has no standard deviation, and is 0 once its mean is taken off.
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    let variance = means(centred.clone().square()) * unbiased;
    // What rounding leaves of a constant channel is no pattern.
    let finfo = variance.dtype().finfo();
    let rounding = 8.0 * finfo.map_or(f64::from(f32::EPSILON), |f| f.epsilon);
    let constant = variance
        .clone()
        .detach()
        .lower_equal_elem(rounding * rounding);
    let deviation = variance.mask_fill(constant.clone(), 1.0).sqrt() + largest.recip() * epsilon;
    centred.mask_fill(constant.expand(shape), 0.0) / deviation
}

/// A map `[batch, channels, height, width]`, times `slope`, above 0, where it is not positive.
/// Differentiable.
pub fn leaky_relu(x: Tensor<4>, slope: f64) -> Tensor<4> {
    map_kernel!(&x, kernel_leaky_relu(x.into_dispatch(), slope));
    burn::tensor::activation::leaky_relu(x, slope)
}

/// Divergence of the softmaxes over positions of `map / temperature`, channel by channel,
/// `Σ p_t (log p_t − log p_s)` in nats, from maps `[batch, channels, height, width]` of one shape,
/// `[batch, channels]`.
///
/// Differentiable in the student alone.
pub fn divergence_over_positions(
    student: Tensor<4>,
    target: Tensor<4>,
    temperature: f64,
) -> Tensor<2> {
    map_kernel!(
        &student,
        kernel_divergence(student.into_dispatch(), target.into_dispatch(), temperature)
    );
    let [student, target] =
        [student, target.detach()].map(|map| map.flatten::<3>(2, 3) / temperature);
    let difference = log_softmax(target.clone(), 2) - log_softmax(student, 2);
    (softmax(target, 2) * difference).sum_dim(2).squeeze_dim(2)
}

/// Mean over channels of the squares of a map `[batch, channels, height, width]`,
/// `[batch, height · width]`. Differentiable.
pub fn energy(x: Tensor<4>) -> Tensor<2> {
    map_kernel!(&x, kernel_energy(x.into_dispatch()));
    x.square().mean_dim(1).flatten(1, 3)
}

/// Matrices `[batch, rows, columns]` as maps `[batch, columns, rows, 1]`: a row becomes a pixel, for operations
/// that ask for maps.
pub fn rows_as_pixels(matrices: Tensor<3>) -> Tensor<4> {
    let [batch, rows, columns] = matrices.dims();
    #[cfg(feature = "flex")]
    if fast(&matrices) {
        // The kernels read the channels of a pixel where they lie.
        return matrices
            .reshape([batch, rows, 1, columns])
            .permute([0, 3, 1, 2]);
    }
    // Other backends are given what lies in order.
    matrices.transpose().reshape([batch, columns, rows, 1])
}

/// Means over positions of the products of two maps' channels, `[batch, channels of a, channels of b]`,
/// from maps `[batch, channels, height, width]` of one size. Differentiable.
pub fn products(a: Tensor<4>, b: Tensor<4>) -> Tensor<3> {
    map_kernel!(&a, kernel_products(a.into_dispatch(), b.into_dispatch()));
    let [a, b] = [a, b].map(shared_by_positions);
    a.matmul(b.transpose())
}

/// Channels as rows `[batch, channels, positions]`, each with its share of a mean over positions, so that
/// a sum of products stays in range.
fn shared_by_positions(map: Tensor<4>) -> Tensor<3> {
    let [_, _, height, width] = map.dims();
    map.flatten(2, 3) / ((height * width) as f64).sqrt()
}

/// [`products`] of a map's channels with each other, `[batch, channels, channels]`. Differentiable.
pub fn gram_of_channels(x: Tensor<4>) -> Tensor<3> {
    map_kernel!(&x, kernel_gram(x.into_dispatch(), Along::Channels));
    let x = shared_by_positions(x);
    x.clone().matmul(x.transpose())
}

/// Means over channels of the products of a map's positions with each other,
/// `[batch, height · width, height · width]`, from `[batch, channels, height, width]`. Differentiable.
pub fn gram_of_positions(x: Tensor<4>) -> Tensor<3> {
    map_kernel!(&x, kernel_gram(x.into_dispatch(), Along::Positions));
    let [_, channels, ..] = x.dims();
    let x: Tensor<3> = x.flatten(2, 3) / (channels as f64).sqrt();
    x.clone().transpose().matmul(x)
}

/// A map `[batch, channels, height, width]` averaged down to another size (adaptive pooling).
/// Differentiable. The kernel serves sizes that divide the map's.
pub fn average_pool(x: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = x.dims();
    if [height, width] == size {
        return x;
    }
    let [_rows, _columns] = size;
    #[cfg(feature = "flex")]
    if height.is_multiple_of(_rows) && width.is_multiple_of(_columns) {
        map_kernel!(&x, kernel_average_pool(x.into_dispatch(), size));
    }
    adaptive_avg_pool2d(x, size)
}

/// `a · shares[:, 0] + b · shares[:, 1]`, from a map `a` `[batch, channels, height, width]`, a map `b` of
/// that size or one that divides it, whose values are repeated to it, and `shares`
/// `[batch, 2, height, width]`. Differentiable.
pub fn blend(a: Tensor<4>, b: Tensor<4>, shares: Tensor<4>) -> Tensor<4> {
    map_kernel!(
        &a,
        kernel_blend(a.into_dispatch(), b.into_dispatch(), shares.into_dispatch())
    );
    let [_, _, height, width] = a.dims();
    let b = repeat(b, [height, width]);
    a * shares.clone().narrow(1, 0, 1) + b * shares.narrow(1, 1, 1)
}

/// A map with values repeated to a size that its own divides.
fn repeat(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    if [height, width] == size {
        return map;
    }
    // The nearest neighbour is the one mode whose gradient every backend has.
    let options = InterpolateOptions::new(InterpolateMode::Nearest).with_output_size(size);
    module::interpolate(map, options)
}

/// Rows of `[rows, width]`, each divided by its Euclidean norm. Differentiable.
///
/// A row none of whose entries is larger than `zero` stays as it is, and so does its gradient: it is not
/// blown up by the division. Entries are first divided by the largest of them, so that no square
/// overflows; that factor cancels and needs no gradient.
pub fn unit_rows(x: Tensor<2>, zero: f64) -> Tensor<2> {
    map_kernel!(&x, kernel_unit_rows(x.into_dispatch(), zero));
    let largest = x.clone().detach().abs().max_dim(1);
    let zero = largest.clone().lower_equal_elem(zero);
    let x = x / largest.mask_fill(zero.clone(), 1.0);
    let norm = x.clone().square().sum_dim(1).mask_fill(zero, 1.0).sqrt();
    x / norm
}

/// Eigenvectors of the largest eigenvalue of symmetric matrices `[batch, size, size]`, of length 1,
/// `[batch, size]`: `search` power iterations `v ← G v / ‖G v‖` from the rows of `start`, without a
/// gradient, and `steps` that one passes through. Differentiable in the matrices.
///
/// A product none of whose entries is larger than `zero` has no direction and stays as it is.
pub fn leading_vectors(
    matrices: Tensor<3>,
    start: Tensor<2>,
    [search, steps]: [usize; 2],
    zero: f64,
) -> Tensor<2> {
    map_kernel!(
        &matrices,
        kernel_leading_vectors(
            matrices.into_dispatch(),
            start.into_dispatch(),
            search,
            steps,
            zero
        )
    );
    let step = |matrices: &Tensor<3>, v: Tensor<2>| {
        let product = matrices.clone().matmul(v.unsqueeze_dim::<3>(2));
        unit_rows(product.squeeze_dim(2), zero)
    };
    let fixed = matrices.clone().detach();
    let found = (0..search).fold(start.detach(), |v, _| step(&fixed, v));
    (0..steps).fold(found, |v, _| step(&matrices, v))
}
