//! Neuron selectivity transfer: the student's channels respond at the places the teacher's do.
//!
//! With maps `[batch, channels, height, width]` (channels may differ; of two sizes the larger is
//! averaged down), let `u_i` be channel `i` as a vector over positions divided by its Euclidean
//! norm, and `k(u, v) = (u·v)²`. The maximum mean discrepancy under `k`, over the compared levels:
//!
//! `L = Σ_levels mean over the batch of mean_ij k(s_i, s_j) + mean_ij k(t_i, t_j) − 2 mean_ij k(s_i, t_j)`
//!
//! It has no unit. Sums of squared products are the squared norm of a matrix product, and with
//! `U` `[channels, positions]` they are also those of `UᵀU`, so that
//! `L = mean over the batch of ‖UᵀU_s / c_s − UᵀU_t / c_t‖²`: the form with the smaller matrices is
//! taken, and nothing of size `[batch, c_t, c_s, positions]` is ever built.
//!
//! A channel of zeros responds nowhere: its `u` is 0.
//!
//! Source: Z. Huang, N. Wang, "Like What You Like: Knowledge Distill via Neuron Selectivity
//! Transfer", arXiv 2017.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::{
    energy, gram_of_channels, gram_of_positions, products, rows_as_pixels, squared_distance,
};
use serde::{Deserialize, Serialize};

use super::maps::{LevelPair, at_one_size, pair_levels, sum_over, taps};
use super::unit::{ZERO, for_products, unit};
use super::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(super) const ABOUT: About = About {
    name: "nst",
    title: "Neuron selectivity transfer",
    formula: "Σ_levels mean_b( mean k(s_i, s_j) + mean k(t_i, t_j) − 2 mean k(s_i, t_j) ),  \
              k(u, v) = (u·v / ‖u‖‖v‖)²",
    source: "Huang, Wang, arXiv 2017",
    needs: "feature maps of both networks, of any channels and sizes",
    when: "When it matters where features respond but not which channel does: networks of \
           different widths, without an adapter.",
    teacher: true,
    weight: 50.0,
};

/// Neuron selectivity transfer of one level, from maps `[batch, channels, height, width]`.
///
/// Channels and sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ or a map is empty.
pub fn nst(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_batch("nst", &student, &teacher)?;
    let [student, teacher] = at_one_size(student, teacher.detach()).map(for_products);
    let [_, narrow, height, width] = student.dims();
    let [_, wide, ..] = teacher.dims();
    let positions = height * width;
    let by_channel = narrow * narrow + wide * wide + narrow * wide;
    Ok(match 2 * positions * positions <= by_channel {
        true => by_position(student, teacher),
        false => by_channels(student, teacher),
    })
}

/// From products of positions, `[batch, positions, positions]`.
fn by_position(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    let [_, _, height, width] = student.dims();
    let [student, teacher] = [student, teacher].map(|map| {
        let shape = map.dims();
        let channels = unit(map.flatten::<3>(2, 3)).reshape(shape);
        rows_as_pixels(gram_of_positions(channels))
    });
    squared_distance(student, teacher).sum() * (height * width) as f64
}

/// From products of channels, `[batch, channels, channels]`. It is they that are divided by the channels'
/// lengths, being smaller than the maps.
fn by_channels(student: Tensor<4>, teacher: Tensor<4>) -> Tensor<1> {
    let of_student = gram_of_channels(student.clone());
    let of_teacher = gram_of_channels(teacher.clone());
    let [s, t] = [&of_student, &of_teacher].map(reciprocal_lengths);
    kernel(of_student, &s, &s) + kernel(of_teacher, &t, &t)
        - kernel(products(student, teacher), &s, &t) * 2.0
}

/// Mean of `(u_i · v_j)²`, from products `[batch, c, d]` of channels and the reciprocals of their lengths.
fn kernel(products: Tensor<3>, of_rows: &Tensor<3>, of_columns: &Tensor<3>) -> Tensor<1> {
    // Divided by one length before the square and by the other after it: neither leaves its range.
    let rows = energy(rows_as_pixels(products * of_columns.clone().transpose()));
    (rows * of_rows.clone().squeeze_dim::<2>(2).square()).mean()
}

/// One by the length of every channel, `[batch, channels, 1]`, and 0 for a channel without one.
fn reciprocal_lengths(products: &Tensor<3>) -> Tensor<3> {
    let [batch, channels, _] = products.dims();
    let index = Tensor::arange(0..channels as i64, &products.device());
    let index = index.reshape([1, channels, 1]).expand([batch, channels, 1]);
    let squares = products.clone().gather(2, index);
    let zero = squares.clone().detach().lower_equal_elem(ZERO * ZERO);
    let lengths = squares.mask_fill(zero.clone(), 1.0).sqrt();
    lengths.recip().mask_fill(zero, 0.0)
}

/// Parameters of [`Nst`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NstConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
}

impl NstConfig {
    /// Builds the term from a dry run of both networks that kept their maps; the device is not
    /// needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, and
    /// [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Nst, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        Ok(Nst {
            levels: pair_levels("nst", &self.levels, student, teacher)?,
        })
    }
}

/// The sum of [`nst`] over levels of the two networks.
#[derive(Module, Debug)]
pub struct Nst {
    #[module(skip)]
    levels: Vec<LevelPair>,
}

impl Nst {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`nst`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        sum_over(&self.levels, pair.student, pair.teacher()?, nst)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn both_forms_give_one_value() {
        let device = Device::flex();
        let map = |channels| {
            let normal = Distribution::Normal(0.0, 1.0);
            Tensor::<4>::random([3, channels, 3, 3], normal, &device)
        };
        let (student, teacher) = (map(4), map(7));
        let positions: f32 = by_position(student.clone(), teacher.clone()).into_scalar();
        let channels: f32 = by_channels(student, teacher).into_scalar();
        assert!(positions > 1e-3);
        assert!((positions - channels).abs() < 1e-5 * positions);
    }
}
