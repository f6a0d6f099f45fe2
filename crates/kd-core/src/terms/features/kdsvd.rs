//! Distillation by singular vectors: what matters most in each map, and how it turns from level to level.
//!
//! With a map as `F` `[positions, channels]`, let `v` `[channels]` be its first right singular vector, of length
//! 1: the mix of channels that explains most of the map. The student's points the same way as the teacher's.
//! Between two neighbouring levels with vectors `u` and `v`, let `R[i, j] = exp(−(v_i − u_j)² / 8)`:
//!
//! `L = Σ_pairs mean over the batch of Σ_ij (R_s[i, j] − R_t[i, j])²`, without a unit.
//!
//! `v` comes from power iterations, `v ← FᵀF v / ‖FᵀF v‖`: a good start without gradients, then ten that they
//! pass through. Unlike the gradient of a singular value decomposition, theirs does not explode where two
//! singular values meet. This is the method with one vector a map; the reference searches four of the student's
//! for the one nearest to the teacher's. In the term a student with other channels gets a 1×1 convolution to
//! the teacher's. A map of zeros has no vector: it is 0.
//!
//! Source: S. H. Lee, D. H. Kim, B. C. Song, "Self-supervised Knowledge Distillation Using Singular Value
//! Decomposition", ECCV 2018.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::{gram_of_channels, gram_of_positions, leading_vectors, singular_vector_distance};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Adapted;
use crate::terms::maps::{pair_levels, sum};
use crate::terms::unit::{ZERO, for_products, unit};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "kdsvd",
    title: "Distillation by singular vectors",
    formula: "Σ_pairs mean_b Σ_ij (R_s − R_t)²,  R[i, j] = exp(−(v_i − u_j)² / 8) of neighbouring levels",
    source: "Lee, Kim, Song, ECCV 2018",
    needs: "feature maps of both networks, at least two levels; owns a 1×1 convolution where channels \
            differ",
    when: "Networks of one family, as a light relation between levels. Combine with kd.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// Power iterations without gradients, which find the vector.
const SEARCH: usize = 30;

/// Power iterations that gradients pass through.
const STEPS: usize = 10;

/// Singular-vector loss of two maps `[batch, channels, height, width]` of each network, the earlier first.
///
/// Sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or the channels of a level differ or a map is empty.
pub fn kdsvd(student: [Tensor<4>; 2], teacher: [Tensor<4>; 2]) -> Result<Tensor<1>, Error> {
    check::same_batch("kdsvd", &student[0], &student[1])?;
    let ([before, after], [taught_before, taught_after]) = (student, teacher);
    let (before, taught_before) = vectors(before, taught_before)?;
    let (after, taught_after) = vectors(after, taught_after)?;
    Ok(compare([before, after], [taught_before, taught_after]))
}

/// The vectors of one level of both networks.
fn vectors(student: Tensor<4>, teacher: Tensor<4>) -> Result<(Tensor<2>, Tensor<2>), Error> {
    check::same_batch("kdsvd", &student, &teacher)?;
    check::same_channels("kdsvd", &student, &teacher)?;
    let taught = singular(teacher.detach(), None);
    Ok((singular(student, Some(&taught)), taught))
}

/// The loss from the vectors `[batch, channels]` of two levels of each network.
fn compare(student: [Tensor<2>; 2], teacher: [Tensor<2>; 2]) -> Tensor<1> {
    let [from, to] = [&student[0], &student[1]].map(|vectors| vectors.dims()[1]);
    singular_vector_distance(student, teacher).mean() * (from * to) as f64
}

/// First right singular vectors `[batch, channels]`, turned to those of `like`.
fn singular(map: Tensor<4>, like: Option<&Tensor<2>>) -> Tensor<2> {
    let map = for_products(map);
    let [batch, channels, height, width] = map.dims();
    let positions = height * width;
    // A start that is at right angles to no vector in particular.
    let start = Tensor::arange(0..channels as i64, &map.device()).float() * 0.7;
    let start = (start.sin() + 1.0).cast(map.dtype());
    let start: Tensor<2> = start.reshape([1, channels]).expand([batch, channels]);
    let lead = |matrices, start| leading_vectors(matrices, start, [SEARCH, STEPS], ZERO * ZERO);
    let found = match channels <= positions {
        true => lead(gram_of_channels(map), start),
        // F Fᵀ is smaller than Fᵀ F, and its vector u gives v as Fᵀ u.
        false => {
            let rows = map.clone().permute([0, 2, 3, 1]);
            let rows: Tensor<3> = rows.reshape([batch, positions, channels]);
            let seen = rows.clone().detach().matmul(start.unsqueeze_dim(2));
            let along = lead(gram_of_positions(map), seen.squeeze_dim(2));
            let found = along.unsqueeze_dim::<3>(1).matmul(rows);
            unit(found.squeeze_dim(1))
        }
    };
    match like {
        None => found,
        Some(like) => {
            let against = (found.clone().detach() * like.clone()).sum_dim(1);
            let turned = against.lower_elem(0.0).expand([batch, channels]);
            found.clone().mask_where(turned, found.neg())
        }
    }
}

/// Parameters of [`KdSvd`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KdSvdConfig {
    /// Levels of the student's maps, at least two, from the first: 0 is the stem, then one per stage.
    /// The teacher's are as far from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
}

impl KdSvdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, there are fewer than two
    /// or they are not in order, and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<KdSvd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let levels = pair_levels("kdsvd", &self.levels, student, teacher)?;
        check::neighbours("levels", &levels)?;
        Ok(KdSvd {
            maps: Adapted::new(levels, student, teacher, device)?,
        })
    }
}

/// The sum of [`kdsvd`] over pairs of neighbouring levels of the two networks.
#[derive(Module, Debug)]
pub struct KdSvd {
    maps: Adapted,
}

impl KdSvd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`kdsvd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let maps = self.maps.maps("kdsvd", pair)?;
        let vectors = maps.into_iter().map(|[student, teacher]| {
            let (student, teacher) = vectors(student, teacher)?;
            Ok([student, teacher])
        });
        let vectors = vectors.collect::<Result<Vec<_>, Error>>()?;
        let losses = vectors.windows(2).map(|two| {
            let of = |network: usize| [two[0][network].clone(), two[1][network].clone()];
            Ok(compare(of(0), of(1)))
        });
        sum(&pair.student.logits.device(), losses)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn vectors_are_singular() {
        let device = Device::flex();
        let map = Tensor::<4>::random([5, 6, 3, 3], Distribution::Uniform(0.0, 1.0), &device);
        let v: Tensor<3> = singular(map.clone(), None).unsqueeze_dim(2);
        let rows: Tensor<3> = map.flatten(2, 3);
        let image = rows.clone().matmul(rows.transpose().matmul(v.clone()));
        // FᵀF v is v times its length, and no other direction is stretched more.
        let length = image.clone().square().sum_dim(1).sqrt();
        let off: f32 = (image - v.clone() * length).abs().max().into_scalar();
        assert!(off < 1e-4, "{off}");
        let turned = singular(
            Tensor::<4>::from_floats([[[[3.0]], [[4.0]]]], &device),
            Some(&Tensor::from_floats([[-1.0, 0.0]], &device)),
        );
        let turned: Vec<f32> = turned.into_data().iter().collect();
        assert!((turned[0] + 0.6).abs() < 1e-6 && (turned[1] + 0.8).abs() < 1e-6);
    }

    #[test]
    fn two_levels_by_hand() {
        let device = Device::flex();
        // Maps of one position are their own vectors: (0.6, 0.8) then (1, 0) in the student, (1, 0) and
        // (0, 1) in the teacher.
        let of = |values: [f32; 2]| Tensor::<1>::from_floats(values, &device).reshape([1, 2, 1, 1]);
        let found: f32 = kdsvd(
            [of([3.0, 4.0]), of([2.0, 0.0])],
            [of([5.0, 0.0]), of([0.0, 7.0])],
        )
        .unwrap()
        .into_scalar();
        let entry = |v: f32, u: f32| (-(v - u).powi(2) / 8.0).exp();
        let mut expected = 0.0;
        for (v_s, v_t) in [(1.0, 0.0), (0.0, 1.0)] {
            for (u_s, u_t) in [(0.6, 1.0), (0.8, 0.0)] {
                expected += (entry(v_s, u_s) - entry(v_t, u_t)).powi(2);
            }
        }
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}
