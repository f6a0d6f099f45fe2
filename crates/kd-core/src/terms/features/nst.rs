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
use kd_kernels::nst_mmd;
use serde::{Deserialize, Serialize};

use crate::terms::maps::{LevelPair, at_one_size, pair_levels, sum_over, taps};
use crate::terms::unit::{ZERO, for_products};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
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
    reads: &[Part::Maps],
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
    Ok(nst_mmd(student, teacher, ZERO).mean())
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
