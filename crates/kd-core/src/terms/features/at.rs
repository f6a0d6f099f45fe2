//! Attention transfer: the student looks where the teacher looks.
//!
//! With maps `f` `[batch, channels, height, width]` (channels may differ; of two sizes the larger
//! is averaged down), let `a` be the mean of `f²` over channels, as a vector over positions divided
//! by its Euclidean norm. Over the compared levels:
//!
//! - `scaling = "mean"`: `L = Σ_levels mean over batch and positions of (a_s − a_t)²`. This is what
//!   the reference code computes and what the usual weight of 1000 belongs to;
//! - `scaling = "paper"`: `L = ½ · Σ_levels mean over the batch of ‖a_s − a_t‖₂`, the formula of the
//!   paper, whose weight is its β.
//!
//! Both have no unit. A map of zeros attends to nothing: its `a` is 0.
//!
//! Source: S. Zagoruyko, N. Komodakis, "Paying More Attention to Attention: Improving the
//! Performance of Convolutional Neural Networks via Attention Transfer", ICLR 2017.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::energy;
use serde::{Deserialize, Serialize};

use crate::terms::maps::{LevelPair, at_one_size, pair_levels, sum_over, taps};
use crate::terms::unit::{for_products, norm, unit_products};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "at",
    title: "Attention transfer",
    formula: "Σ_levels mean( (a_s − a_t)² ),  a = mean_c(f²) / ‖mean_c(f²)‖",
    source: "Zagoruyko, Komodakis, ICLR 2017",
    needs: "feature maps of both networks, of any channels and sizes",
    when: "When teacher and student are of one family: it says where to look and needs no adapter. \
           Across families it can hurt. Combine with kd.",
    teacher: true,
    weight: 1000.0,
    reads: &[Part::Maps],
};

/// How differences of attention become one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AtScaling {
    /// Mean of squares, as reference code does.
    #[default]
    Mean,
    /// Half of the norm of each sample's difference, as the paper writes.
    Paper,
}

/// Attention transfer of one level, from maps `[batch, channels, height, width]`.
///
/// Channels and sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ or a map is empty.
pub fn at(student: Tensor<4>, teacher: Tensor<4>, scaling: AtScaling) -> Result<Tensor<1>, Error> {
    check::same_batch("at", &student, &teacher)?;
    let [student, teacher] = at_one_size(student, teacher.detach()).map(attention);
    let difference = student - teacher;
    Ok(match scaling {
        AtScaling::Mean => difference.square().mean(),
        AtScaling::Paper => norm(difference).mean() * 0.5,
    })
}

/// The attention vector of every sample, `[batch, positions]`.
fn attention(map: Tensor<4>) -> Tensor<2> {
    unit_products(energy(for_products(map)))
}

/// Parameters of [`At`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AtConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// `"mean"` as the reference code, or `"paper"`.
    pub scaling: AtScaling,
}

impl AtConfig {
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
    ) -> Result<At, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        Ok(At {
            levels: pair_levels("at", &self.levels, student, teacher)?,
            scaling: self.scaling,
        })
    }
}

/// The sum of [`at`] over levels of the two networks.
#[derive(Module, Debug)]
pub struct At {
    #[module(skip)]
    levels: Vec<LevelPair>,
    #[module(skip)]
    scaling: AtScaling,
}

impl At {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`at`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        sum_over(&self.levels, pair.student, pair.teacher()?, |s, t| {
            at(s, t, self.scaling)
        })
    }
}
