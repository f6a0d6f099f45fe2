//! Relational knowledge distillation: the batch keeps the teacher's distances and angles.
//!
//! With embeddings `x_i` `[batch, width]` (widths may differ), `s` the smooth L1 of a difference
//! (`d²/2` below 1, `|d| − 1/2` above), each mean over every entry, degenerate ones too:
//!
//! - distance: `L_d = mean_ij s(d_s[i,j] / μ_s − d_t[i,j] / μ_t)`, `d[i,j] = ‖x_i − x_j‖`,
//!   `μ` the mean of `d` over `i ≠ j`, through which the gradient flows too;
//! - angle: `L_a = mean_abc s(c_s[a,b,c] − c_t[a,b,c])`, `c[a,b,c]` the cosine of the angle at
//!   `a` between `b` and `c`, 0 where `a` coincides with `b` or `c`.
//!
//! With `difference = "squared"`, `s` is `d²/2` everywhere: what the bend of the smooth L1 is worth shows beside it.
//!
//! Both have no unit. The angles come from the squared distances by the law of cosines, so that
//! nothing of size `[batch, batch, width]` is ever built: the largest tensor is `[batch, batch,
//! batch]`, and the work is `batch²·width + batch³` instead of `batch³·width`.
//!
//! Source: W. Park, D. Kim, Y. Lu, M. Cho, "Relational Knowledge Distillation", CVPR 2019.

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};

use crate::terms::unit::{precision, widened};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "rkd",
    title: "Relational knowledge distillation",
    formula: "distance · mean_ij s(d_s/μ_s − d_t/μ_t) + angle · mean_abc s(cos_s − cos_t),  \
              s = smooth L1",
    source: "Park, Kim, Lu, Cho, CVPR 2019",
    needs: "embedding of both networks, of any width; at least two samples a batch",
    when: "When the geometry of the embedding matters more than class scores: retrieval, metric \
           learning, networks of different widths or classes.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Embedding],
};

/// Smallest squared distance whose square root is taken: its gradient stays finite.
const FLOOR: f64 = 1e-12;

/// Largest squared distance at which two points count as one when an angle is taken.
const COINCIDENT: f64 = 1e-24;

/// The distance loss of embeddings `[batch, width]`, whose widths may differ.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ, a width is 0, or the batch has fewer than two
/// samples: a distance needs a pair.
pub fn rkd_distance(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("rkd_distance", &student, &teacher)?;
    let dtype = student.dtype();
    let [student, teacher] = [student, teacher.detach()].map(squared_distances);
    Ok(distance(student, teacher, RkdDifference::Huber).cast(dtype))
}

/// The angle loss of embeddings `[batch, width]`, whose widths may differ.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// As [`rkd_distance`].
pub fn rkd_angle(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("rkd_angle", &student, &teacher)?;
    let dtype = student.dtype();
    let [student, teacher] = [student, teacher.detach()].map(squared_distances);
    Ok(angle(student, teacher, RkdDifference::Huber).cast(dtype))
}

/// `‖x_i − x_j‖²`, `[batch, batch]`; exactly 0 on the diagonal and between equal points.
fn squared_distances(x: Tensor<2>) -> Tensor<2> {
    let [batch, _] = x.dims();
    let x = widened(x);
    // Distances do not change when every point moves alike: moving the mean to the origin, as a
    // constant, spares digits that the difference below would lose.
    let centre = x.clone().detach().mean_dim(0);
    let x = x - centre;
    let gram = x.clone().matmul(x.transpose());
    // Norms from the diagonal of the same product, so that equal points cancel to exactly 0.
    let off_diagonal = Tensor::<2, Bool>::diag_mask([batch, batch], 0, &gram.device());
    let norms = gram.clone().mask_fill(off_diagonal, 0.0).sum_dim(1);
    let norms = norms.clone() + norms.transpose();
    // What is left of a few roundings is no distance.
    let rounding = norms.clone().detach() * (8.0 * precision(&gram));
    let squared = norms - gram * 2.0;
    let equal = squared.clone().detach().lower_equal(rounding);
    squared.mask_fill(equal, 0.0)
}

fn distance(student: Tensor<2>, teacher: Tensor<2>, by: RkdDifference) -> Tensor<1> {
    by.of(relative(student), relative(teacher))
}

/// Distances in units of their mean over pairs, `[batch, batch]`.
fn relative(squared: Tensor<2>) -> Tensor<2> {
    let [batch, _] = squared.dims();
    let same = Tensor::<2, Bool>::diag_mask([batch, batch], 0, &squared.device()).bool_not();
    let distances = squared.clamp_min(FLOOR).sqrt().mask_fill(same, 0.0);
    let mean = distances.clone().sum() / (batch * (batch - 1)) as f64;
    distances / mean.unsqueeze()
}

fn angle(student: Tensor<2>, teacher: Tensor<2>, by: RkdDifference) -> Tensor<1> {
    by.of(cosines(student), cosines(teacher))
}

/// Cosine at vertex `a` between `b` and `c`, `[a, b, c]`: `(d_ab² + d_ac² − d_bc²) / (2 d_ab d_ac)`.
fn cosines(squared: Tensor<2>) -> Tensor<3> {
    let coincident = squared.clone().detach().lower_equal_elem(COINCIDENT);
    let inverse = squared
        .clone()
        .mask_fill(coincident.clone(), 1.0)
        .sqrt()
        .recip()
        .mask_fill(coincident, 0.0);
    let ab: Tensor<3> = squared.clone().unsqueeze_dim(2);
    let ac: Tensor<3> = squared.clone().unsqueeze_dim(1);
    let bc: Tensor<3> = squared.unsqueeze_dim(0);
    let inverse_ab: Tensor<3> = inverse.clone().unsqueeze_dim(2);
    let inverse_ac: Tensor<3> = inverse.unsqueeze_dim(1);
    (ab + ac - bc) * (inverse_ab * 0.5) * inverse_ac
}

/// Mean smooth L1 with its bend at 1.
///
/// With `c` the difference clamped to ±1, `c·(d − c/2)` is the loss and `c` its derivative: taking
/// `c` as a constant gives the exact gradient and keeps one tensor for it instead of five.
fn smooth_l1<const D: usize>(student: Tensor<D>, teacher: Tensor<D>) -> Tensor<1> {
    let difference = student - teacher;
    let clamped = difference.clone().detach().clamp(-1.0, 1.0);
    ((difference - clamped.clone() * 0.5) * clamped).mean()
}

/// How a difference between student and teacher counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RkdDifference {
    /// The smooth L1 with its bend at 1, Huber's loss: `d²/2` below 1, `|d| − 1/2` above.
    #[default]
    Huber,
    /// `d²/2`.
    Squared,
}

impl RkdDifference {
    /// The mean over every entry.
    fn of<const D: usize>(self, student: Tensor<D>, teacher: Tensor<D>) -> Tensor<1> {
        match self {
            Self::Huber => smooth_l1(student, teacher),
            Self::Squared => (student - teacher).square().mean() * 0.5,
        }
    }
}

/// Parameters of [`Rkd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RkdConfig {
    /// Weight of the distance loss, at least 0; at 0 it is not computed.
    pub distance: f64,
    /// Weight of the angle loss, at least 0; at 0 it is not computed.
    pub angle: f64,
    /// How a difference counts: `huber`, which is the paper's, or `squared`.
    pub difference: RkdDifference,
    /// Rows that are drawn of a larger batch, such as nodes of a graph: memory is their cube. 0 takes all.
    pub samples: usize,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for RkdConfig {
    fn default() -> Self {
        Self {
            distance: 25.0,
            angle: 50.0,
            difference: RkdDifference::Huber,
            samples: 0,
            seed: 0,
        }
    }
}

impl RkdConfig {
    /// Builds the term from a dry run of both networks that kept the embedding; the dry run's
    /// batch may be of any size, and the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when a weight is below 0 or both are 0, [`Error::NoTeacher`], and
    /// [`Error::MissingTap`] when a network has no embedding.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Rkd, Error> {
        self.validate()?;
        teacher.ok_or(Error::NoTeacher)?.embedding()?;
        student.embedding()?;
        Ok(Rkd {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        check::not_negative("distance", self.distance)?;
        check::not_negative("angle", self.angle)?;
        if self.samples == 1 {
            return Err(Error::Config {
                key: "samples".into(),
                value: "1".into(),
                expected: "relations need at least 2 rows, and 0 takes all".into(),
            });
        }
        match self.distance == 0.0 && self.angle == 0.0 {
            false => Ok(()),
            true => Err(Error::Config {
                key: "distance".into(),
                value: "0, and angle = 0".into(),
                expected: "at least one of the two must be above 0".into(),
            }),
        }
    }
}

/// The weighted sum of [`rkd_distance`] and [`rkd_angle`] of the two networks' embeddings.
#[derive(Module, Debug)]
pub struct Rkd {
    #[module(skip)]
    config: RkdConfig,
}

impl Rkd {
    /// The embedding of both networks.
    pub fn taps(&self) -> PairTaps {
        PairTaps::embeddings()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`rkd_distance`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let student = pair.student.embedding()?;
        let teacher = pair.teacher()?.embedding()?;
        let (RkdConfig { samples, seed, .. }, [rows, _]) = (&self.config, student.dims());
        if *samples == 0 || rows <= *samples {
            return rkd(student, teacher, &self.config);
        }
        // The same rows at the same step of any run.
        let mut generator = StdRng::seed_from_u64(seed.wrapping_add(step.index as u64));
        let drawn = rand::seq::index::sample(&mut generator, rows, *samples);
        let drawn: Vec<i64> = drawn.into_iter().map(|row| row as i64).collect();
        let drawn = Tensor::<1, Int>::from_ints(drawn.as_slice(), &student.device());
        let some = |x: Tensor<2>| x.select(0, drawn.clone());
        rkd(some(student), some(teacher), &self.config)
    }
}

/// `distance · L_d + angle · L_a` of embeddings `[batch, width]`, from one set of distances.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// As [`rkd_distance`], and [`Error::Config`] when a weight is below 0 or both are 0.
pub fn rkd(student: Tensor<2>, teacher: Tensor<2>, config: &RkdConfig) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("rkd", &student, &teacher)?;
    config.validate()?;
    let dtype = student.dtype();
    let [student, teacher] = [student, teacher.detach()].map(squared_distances);
    let by = config.difference;
    let loss = if config.angle == 0.0 {
        distance(student, teacher, by) * config.distance
    } else if config.distance == 0.0 {
        angle(student, teacher, by) * config.angle
    } else {
        let near = distance(student.clone(), teacher.clone(), by) * config.distance;
        near + angle(student, teacher, by) * config.angle
    };
    Ok(loss.cast(dtype))
}
