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
//! singular values meet. The price: forty iterations separate two singular values that differ by a fifth to seven
//! digits, by a tenth to three, and closer ones less. Maps after a ReLU have a first singular value far above the others, so that the
//! result is that of a decomposition there; maps of both signs do not.
//!
//! `exact = true` decomposes `FᵀF` instead, in double precision on the host. That takes of the order of
//! `channels³` steps a sample, fine for tens of channels and slow for hundreds. It is what the usual
//! reference code (RepDistiller) computes, which also takes, of the student's first four vectors, the one nearest to
//! the teacher's first: `nearest_of = 4`. Without these keys the loss is the method with one vector a map.
//!
//! In the term a student with other channels gets a 1×1 convolution to the teacher's. A map of zeros has no vector:
//! it is 0.
//!
//! Source: S. H. Lee, D. H. Kim, B. C. Song, "Self-supervised Knowledge Distillation Using Singular Value
//! Decomposition", ECCV 2018.

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use kd_kernels::{gram_of_channels, gram_of_positions, leading_vectors, singular_vector_distance};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Adapted;
use crate::terms::eigen::eigenvectors;
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

/// Singular-vector loss of two maps `[batch, channels, height, width]` of each network, the earlier first, by power
/// iterations.
///
/// Sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or the channels of a level differ or a map is empty.
pub fn kdsvd(student: [Tensor<4>; 2], teacher: [Tensor<4>; 2]) -> Result<Tensor<1>, Error> {
    of_levels(student, teacher, Search::Power)
}

/// [`kdsvd`] by a decomposition: of the student's first `nearest_of` vectors, the one nearest to the teacher's first.
///
/// # Errors
/// As [`kdsvd`], and [`Error::Config`] when `nearest_of` is 0.
pub fn kdsvd_exact(
    student: [Tensor<4>; 2],
    teacher: [Tensor<4>; 2],
    nearest_of: usize,
) -> Result<Tensor<1>, Error> {
    check::above("nearest_of", nearest_of as f64, 0.0)?;
    of_levels(student, teacher, Search::Exact { nearest_of })
}

/// How singular vectors are found.
#[derive(Clone, Copy, Debug)]
enum Search {
    Power,
    Exact { nearest_of: usize },
}

fn of_levels(
    student: [Tensor<4>; 2],
    teacher: [Tensor<4>; 2],
    search: Search,
) -> Result<Tensor<1>, Error> {
    check::same_batch("kdsvd", &student[0], &student[1])?;
    let ([before, after], [taught_before, taught_after]) = (student, teacher);
    let (before, taught_before) = vectors(before, taught_before, search)?;
    let (after, taught_after) = vectors(after, taught_after, search)?;
    Ok(compare([before, after], [taught_before, taught_after]))
}

/// The vectors of one level of both networks.
fn vectors(
    student: Tensor<4>,
    teacher: Tensor<4>,
    search: Search,
) -> Result<(Tensor<2>, Tensor<2>), Error> {
    check::same_batch("kdsvd", &student, &teacher)?;
    check::same_channels("kdsvd", &student, &teacher)?;
    let teacher = teacher.detach();
    let Search::Exact { nearest_of } = search else {
        let taught = singular(teacher, None);
        return Ok((singular(student, Some(&taught)), taught));
    };
    let taught = first(decomposed(teacher, 1));
    Ok((nearest(decomposed(student, nearest_of), &taught), taught))
}

/// The first right singular vectors of a map, `[batch, channels, count]`; fewer where it has fewer channels.
fn decomposed(map: Tensor<4>, count: usize) -> Tensor<3> {
    let [_, channels, ..] = map.dims();
    let silent = map.clone().detach().abs().flatten::<2>(1, 3).max_dim(1);
    let silent: Tensor<3, Bool> = silent.equal_elem(0.0).unsqueeze_dim(2);
    let count = count.min(channels);
    let [batch, ..] = map.dims();
    let found = eigenvectors(gram_of_channels(for_products(map)), count);
    found.mask_fill(silent.expand([batch, channels, count]), 0.0)
}

/// The first of several vectors `[batch, channels, count]`, turned to where power iterations find it.
fn first(vectors: Tensor<3>) -> Tensor<2> {
    let [batch, channels, _] = vectors.dims();
    let vector: Tensor<2> = vectors.narrow(2, 0, 1).squeeze_dim(2);
    let start = start(channels, &vector).expand([batch, channels]);
    turned(vector, &start)
}

/// Of several vectors `[batch, channels, count]`, the one nearest to the line along `like` `[batch, channels]`,
/// turned to it.
fn nearest(vectors: Tensor<3>, like: &Tensor<2>) -> Tensor<2> {
    let [batch, channels, _] = vectors.dims();
    let cosines = vectors
        .clone()
        .detach()
        .transpose()
        .matmul(like.clone().unsqueeze_dim(2));
    let best: Tensor<3, Int> = cosines.abs().argmax(1).expand([batch, 1, channels]);
    let found = vectors.gather(2, best.swap_dims(1, 2));
    turned(found.squeeze_dim(2), like)
}

/// Vectors `[batch, channels]` or their opposites, whichever point along `like`.
fn turned(vectors: Tensor<2>, like: &Tensor<2>) -> Tensor<2> {
    let against = (vectors.clone().detach() * like.clone()).sum_dim(1);
    let against = against.lower_elem(0.0).expand(vectors.dims());
    vectors.clone().mask_where(against, vectors.neg())
}

/// A direction that is at right angles to no vector in particular, `[1, channels]`.
fn start<const D: usize>(channels: usize, like: &Tensor<D>) -> Tensor<2> {
    let start = Tensor::arange(0..channels as i64, &like.device()).float() * 0.7;
    (start.sin() + 1.0)
        .cast(like.dtype())
        .reshape([1, channels])
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
    let start = start(channels, &map).expand([batch, channels]);
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
        Some(like) => turned(found, like),
    }
}

/// Parameters of [`KdSvd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KdSvdConfig {
    /// Levels of the student's maps, at least two, from the first: 0 is the stem, then one per stage.
    /// The teacher's are as far from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// Whether vectors come from a decomposition instead of power iterations.
    pub exact: bool,
    /// Of how many first vectors of the student the one nearest to the teacher's first counts, above 0; more than
    /// one with `exact` only.
    pub nearest_of: usize,
}

impl Default for KdSvdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            exact: false,
            nearest_of: 1,
        }
    }
}

impl KdSvdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, there are fewer than two,
    /// they are not in order, or a value is out of range, and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<KdSvd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::above("nearest_of", self.nearest_of as f64, 0.0)?;
        if self.nearest_of > 1 && !self.exact {
            return Err(Error::Config {
                key: "nearest_of".into(),
                value: self.nearest_of.to_string(),
                expected: "needs exact = true: power iterations find the first vector alone".into(),
            });
        }
        let levels = pair_levels("kdsvd", &self.levels, student, teacher)?;
        check::neighbours("levels", &levels)?;
        let nearest_of = self.nearest_of;
        Ok(KdSvd {
            search: if self.exact {
                Search::Exact { nearest_of }
            } else {
                Search::Power
            },
            maps: Adapted::new(levels, student, teacher, device)?,
        })
    }
}

/// The sum of [`kdsvd`] over pairs of neighbouring levels of the two networks.
#[derive(Module, Debug)]
pub struct KdSvd {
    #[module(skip)]
    search: Search,
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
            let (student, teacher) = vectors(student, teacher, self.search)?;
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

    #[test]
    fn a_decomposition_finds_what_power_iterations_find() {
        let device = Device::flex();
        for (channels, side) in [(4, 3), (6, 2)] {
            let map = || {
                let shape = [3, channels, side, side];
                Tensor::<4>::random(shape, Distribution::Uniform(0.0, 1.0), &device)
            };
            let (student, teacher) = ([map(), map()], [map(), map()]);
            let power: f32 = kdsvd(student.clone(), teacher.clone())
                .unwrap()
                .into_scalar();
            let exact = |nearest_of| -> f32 {
                kdsvd_exact(student.clone(), teacher.clone(), nearest_of)
                    .unwrap()
                    .into_scalar()
            };
            assert!(
                (power - exact(1)).abs() < 1e-4 * power,
                "{power} {}",
                exact(1)
            );
            // Maps of one sign have their first vectors near each other.
            assert!(
                (power - exact(3)).abs() < 1e-4 * power,
                "{power} {}",
                exact(3)
            );
            assert!(kdsvd_exact(student.clone(), teacher.clone(), 0).is_err());
        }
    }

    #[test]
    fn the_nearest_vector_counts_whatever_its_place() {
        let device = Device::flex();
        // Two channels of which the first is larger in the student and the second in the teacher.
        let map = |first: f32, second: f32| {
            Tensor::<4>::from_floats([[[[first, 0.0]], [[0.0, second]]]], &device)
        };
        let (student, teacher) = (map(3.0, 2.0), map(1.0, 2.0));
        let two = |map: &Tensor<4>, next: Tensor<4>| [map.clone(), next];
        let value = |nearest_of| -> f32 {
            let next = || map(5.0, 1.0);
            kdsvd_exact(two(&student, next()), two(&teacher, next()), nearest_of)
                .unwrap()
                .into_scalar()
        };
        assert!(
            value(1) > 0.0 && value(2) < 1e-9,
            "{} {}",
            value(1),
            value(2)
        );
    }
}
