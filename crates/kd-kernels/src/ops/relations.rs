//! How far what goes together in the student's maps is from what does in the target's, sample by sample.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::fast;
use super::maps::{
    energy, gram_of_channels, gram_of_positions, products, rows_as_pixels, unit_rows,
};
#[cfg(feature = "flex")]
use crate::flex::relations::RelationOps;
#[cfg(feature = "flex")]
use crate::loss::channel_relations::Relation;
#[cfg(feature = "flex")]
use crate::loss::flow::Flow;

/// As `kernel!`, for the operations of this file.
macro_rules! relation_kernel {
    ($x:expr, $operation:ident($($argument:expr),*)) => {
        #[cfg(feature = "flex")]
        if fast($x) {
            return Tensor::from_dispatch(
                <burn::backend::Dispatch as RelationOps>::$operation($($argument),*),
            );
        }
    };
}

/// The maximum mean discrepancy of a sample's channels under the square of their cosine `k`,
/// `mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) − 2 mean_ij k(s_i, t_j)`, `[batch]`, from maps
/// `[batch, channels, height, width]` of one size, whose channels may differ.
///
/// A channel of values all within `zero` of 0 has no direction: its cosines are 0. Differentiable in the student
/// alone.
pub fn nst_mmd(student: Tensor<4>, target: Tensor<4>, zero: f64) -> Tensor<1> {
    relation_kernel!(
        &student,
        kernel_relation(
            student.into_dispatch(),
            target.into_dispatch(),
            Relation::Selectivity {
                zero: (zero * zero) as f32
            }
        )
    );
    let target = target.detach();
    let [_, narrow, height, width] = student.dims();
    let [_, wide, ..] = target.dims();
    let positions = height * width;
    // Sums of squared products of channels are also those of positions: the smaller matrices are taken.
    let by_channel = narrow * narrow + wide * wide + narrow * wide;
    match 2 * positions * positions <= by_channel {
        true => selectivity_of_positions(student, target, zero),
        false => selectivity_of_channels(student, target, zero),
    }
}

/// From products of positions, `[batch, positions, positions]`.
fn selectivity_of_positions(student: Tensor<4>, target: Tensor<4>, zero: f64) -> Tensor<1> {
    let [_, _, height, width] = student.dims();
    let [student, target] = [student, target].map(|map| {
        let shape = map.dims();
        let [batch, channels, height, width] = shape;
        let rows = unit_rows(map.reshape([batch * channels, height * width]), zero);
        gram_of_positions(rows.reshape(shape))
    });
    mean_squares(student - target) * ((height * width) as f64).powi(2)
}

/// From products of channels, `[batch, channels, channels]`. It is they that are divided by the channels'
/// lengths, being smaller than the maps.
fn selectivity_of_channels(student: Tensor<4>, target: Tensor<4>, zero: f64) -> Tensor<1> {
    let of_student = gram_of_channels(student.clone());
    let of_target = gram_of_channels(target.clone());
    let [s, t] = [&of_student, &of_target].map(|products| reciprocal_lengths(products, zero));
    squared_cosines(of_student, &s, &s) + squared_cosines(of_target, &t, &t)
        - squared_cosines(products(student, target), &s, &t) * 2.0
}

/// Mean of `(u_i · v_j)²`, `[batch]`, from products `[batch, c, d]` of channels and the reciprocals of their lengths.
fn squared_cosines(products: Tensor<3>, of_rows: &Tensor<3>, of_columns: &Tensor<3>) -> Tensor<1> {
    let [batch, ..] = products.dims();
    // Divided by one length before the square and by the other after it: neither leaves its range.
    let rows = energy(rows_as_pixels(products * of_columns.clone().transpose()));
    let rows = rows * of_rows.clone().squeeze_dim::<2>(2).square();
    rows.mean_dim(1).reshape([batch])
}

/// One by the length of every channel, `[batch, channels, 1]`, and 0 for a channel without one.
fn reciprocal_lengths(products: &Tensor<3>, zero: f64) -> Tensor<3> {
    let [batch, channels, _] = products.dims();
    let index = Tensor::arange(0..channels as i64, &products.device());
    let index = index.reshape([1, channels, 1]).expand([batch, channels, 1]);
    let squares = products.clone().gather(2, index);
    let zero = squares.clone().detach().lower_equal_elem(zero * zero);
    let lengths = squares.mask_fill(zero.clone(), 1.0).sqrt();
    lengths.recip().mask_fill(zero, 0.0)
}

/// `Σ_ij (G_s[i, j] − G_t[i, j])² / channels`, `[batch]`, where `G` are the products of a sample's channels, each row
/// divided by its Euclidean norm, from maps `[batch, channels, height, width]` whose sizes may differ.
///
/// A row none of whose entries is larger than `zero` stays as it is. Differentiable in the student alone.
pub fn correlation_distance(student: Tensor<4>, target: Tensor<4>, zero: f64) -> Tensor<1> {
    relation_kernel!(
        &student,
        kernel_relation(
            student.into_dispatch(),
            target.into_dispatch(),
            Relation::Correlation { zero: zero as f32 }
        )
    );
    let [_, channels, ..] = student.dims();
    let [student, target] = [student, target.detach()].map(|map| {
        let products = gram_of_channels(map);
        let [batch, rows, columns] = products.dims();
        let rows = unit_rows(products.reshape([batch * rows, columns]), zero);
        rows.reshape([batch, columns, columns])
    });
    mean_squares(student - target) * channels as f64
}

/// Mean over all pairs of channels of `(F_s − F_t)²`, `[batch]`, where `F` `[channels of f, channels of g]` are the
/// [`products`] of the two maps `f` and `g` of a network, `[batch, channels, height, width]`. Both of a network have
/// one size.
///
/// Differentiable in the student alone.
pub fn fsp_distance(student: [Tensor<4>; 2], target: [Tensor<4>; 2]) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student[0]) {
        return kernel_flow(student, target, Flow::Products);
    }
    let [student, target] =
        [student, target.map(Tensor::detach)].map(|[from, to]| products(from, to));
    mean_squares(student - target)
}

/// Mean over all pairs of entries of `(R_s − R_t)²`, `[batch]`, where `R[i, j] = exp(−(v_j − u_i)² / 8)` for the two
/// vectors `u` and `v` of a network, `[batch, width]`.
///
/// Differentiable in the student alone.
pub fn singular_vector_distance(student: [Tensor<2>; 2], target: [Tensor<2>; 2]) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student[0]) {
        let as_maps = |vectors: Tensor<2>| {
            let [batch, width] = vectors.dims();
            vectors.reshape([batch, width, 1, 1])
        };
        return kernel_flow(
            student.map(as_maps),
            target.map(as_maps),
            Flow::SingularVectors,
        );
    }
    let [student, target] = [student, target.map(Tensor::detach)].map(|[from, to]| {
        let difference = to.unsqueeze_dim::<3>(1) - from.unsqueeze_dim::<3>(2);
        (difference.square() * -0.125).exp()
    });
    mean_squares(student - target)
}

#[cfg(feature = "flex")]
fn kernel_flow(student: [Tensor<4>; 2], target: [Tensor<4>; 2], flow: Flow) -> Tensor<1> {
    let [student, target] = [student, target].map(|maps| maps.map(Tensor::into_dispatch));
    let ([from, to], [target_from, target_to]) = (student, target);
    Tensor::from_dispatch(<burn::backend::Dispatch as RelationOps>::kernel_flow(
        from,
        to,
        target_from,
        target_to,
        flow,
    ))
}

/// Mean of the squares of each sample, `[batch]`. An axis at a time, so that sums stay in range; each is the last of
/// a tensor that lies in order, as webgpu wants it.
fn mean_squares(difference: Tensor<3>) -> Tensor<1> {
    let [batch, rows, columns] = difference.dims();
    let squares = difference.square().reshape([batch * rows, columns]);
    let rows = squares.mean_dim(1).reshape([batch, rows]);
    rows.mean_dim(1).reshape([batch])
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};

    use super::*;

    #[test]
    fn both_forms_give_one_value() {
        let device = Device::flex();
        let map = |channels| {
            let normal = Distribution::Normal(0.0, 1.0);
            Tensor::<4>::random([3, channels, 3, 3], normal, &device)
        };
        let (student, target) = (map(4), map(7));
        let positions = selectivity_of_positions(student.clone(), target.clone(), 1e-12);
        let channels = selectivity_of_channels(student, target, 1e-12);
        let [positions, channels] = [positions, channels].map(|found| found.into_data());
        for (positions, channels) in positions.iter::<f32>().zip(channels.iter::<f32>()) {
            assert!(positions > 1e-3);
            assert!((positions - channels).abs() < 1e-5 * positions);
        }
    }
}
