//! How far what goes together among a map's channels is from what does among the target's, sample by sample.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use self::kernel::Relation;
#[cfg(feature = "flex")]
use super::of_maps::of_maps;
use super::{energy, gram_of_channels, gram_of_positions, products, rows_as_pixels, unit_rows};
#[cfg(feature = "flex")]
use crate::flex::fast;

/// The maximum mean discrepancy of a sample's channels under the square of their cosine `k`,
/// `mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) − 2 mean_ij k(s_i, t_j)`, `[batch]`, from maps
/// `[batch, channels, height, width]` of one size, whose channels may differ.
///
/// A channel of values all within `zero` of 0 has no direction: its cosines are 0. Differentiable in the student
/// alone.
pub fn nst_mmd(student: Tensor<4>, target: Tensor<4>, zero: f64) -> Tensor<1> {
    #[cfg(feature = "flex")]
    if fast(&student) {
        let zero = (zero * zero) as f32;
        return of_maps(Relation::Selectivity { zero }, [student, target]);
    }
    let target = target.detach();
    let [_, narrow, height, width] = student.dims();
    let [_, wide, ..] = target.dims();
    let positions = height * width;
    // Sums of squared products of channels are also those of positions: the smaller matrices are taken.
    let by_channel = narrow * narrow + wide * wide + narrow * wide;
    if 2 * positions * positions <= by_channel {
        selectivity_of_positions(student, target, zero)
    } else {
        selectivity_of_channels(student, target, zero)
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
    #[cfg(feature = "flex")]
    if fast(&student) {
        let zero = zero as f32;
        return of_maps(Relation::Correlation { zero }, [student, target]);
    }
    let [_, channels, ..] = student.dims();
    let [student, target] = [student, target.detach()].map(|map| {
        let products = gram_of_channels(map);
        let [batch, rows, columns] = products.dims();
        let rows = unit_rows(products.reshape([batch * rows, columns]), zero);
        rows.reshape([batch, columns, columns])
    });
    mean_squares(student - target) * channels as f64
}

/// Mean of the squares of each sample, `[batch]`. An axis at a time, so that sums stay in range; each is the last of
/// a tensor that lies in order, as webgpu wants it.
pub(super) fn mean_squares(difference: Tensor<3>) -> Tensor<1> {
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
