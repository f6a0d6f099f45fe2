//! Probabilistic knowledge transfer: the student keeps the teacher's neighbourhoods.
//!
//! With embeddings `x_i` `[batch, width]` (widths may differ), let `p[i,j]` be
//! `(1 + cos(x_i, x_j)) / 2` divided by its sum over `j`: the probability that `i` picks `j` as its
//! neighbour, itself included. With `ε = 10⁻⁷`:
//!
//! `L = mean over i and j of p_t[i,j] · log((p_t[i,j] + ε) / (p_s[i,j] + ε))`, in nats.
//!
//! The paper sums over `j`; reference code takes the mean of all entries, and the usual weight of
//! 30000 belongs to the mean. An embedding of zeros is as near to all as to itself.
//!
//! Source: N. Passalis, A. Tefas, "Learning Deep Representations with Probabilistic Knowledge
//! Transfer", ECCV 2018.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::unit::unit;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "pkt",
    title: "Probabilistic knowledge transfer",
    formula: "mean_ij p_t · log(p_t / p_s),  p[i,j] ∝ (1 + cos(x_i, x_j)) / 2, rows summing to 1",
    source: "Passalis, Tefas, ECCV 2018",
    needs: "embedding of both networks, of any width; at least two samples a batch",
    when: "Like rkd, when neighbourhoods in the embedding matter; cheaper, and calmer in training.",
    teacher: true,
    weight: 30000.0,
    reads: &[Part::Embedding],
};

/// Added to both probabilities before the logarithm.
const EPSILON: f64 = 1e-7;

/// Probabilistic transfer loss of embeddings `[batch, width]`, whose widths may differ.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ, a width is 0, or the batch has fewer than two
/// samples.
pub fn pkt(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("pkt", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(neighbours);
    let ratio = (teacher.clone() + EPSILON) / (student + EPSILON);
    Ok((teacher * ratio.log()).mean())
}

/// Probabilities of each sample's neighbour, `[batch, batch]`.
fn neighbours(x: Tensor<2>) -> Tensor<2> {
    let x = unit(x);
    // Rounding may take a cosine below −1.
    let likeness = ((x.clone().matmul(x.transpose()) + 1.0) * 0.5).clamp_min(0.0);
    likeness.clone() / likeness.sum_dim(1)
}

/// Parameters of [`Pkt`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PktConfig {}

impl PktConfig {
    /// Builds the term from a dry run of both networks that kept the embedding; the dry run's
    /// batch may be of any size, and the device is not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and [`Error::MissingTap`] when a network has no embedding.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Pkt, Error> {
        teacher.ok_or(Error::NoTeacher)?.embedding()?;
        student.embedding()?;
        Ok(Pkt {})
    }
}

/// The [`pkt`] loss of the two networks' embeddings.
#[derive(Module, Debug)]
pub struct Pkt {}

impl Pkt {
    /// The embedding of both networks.
    pub fn taps(&self) -> PairTaps {
        PairTaps::embeddings()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`pkt`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        pkt(pair.student.embedding()?, pair.teacher()?.embedding()?)
    }
}
