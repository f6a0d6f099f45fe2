//! Distillation by Pearson correlation: each channel follows the teacher's, whatever its mean and size.
//!
//! With maps `[batch, channels, height, width]` of the same channels, let `f̂` be `f` less its mean,
//! divided by its standard deviation + 1e-6, both over batch and positions, channel by channel (the
//! standard deviation is unbiased). Over the compared levels:
//!
//! `L = Σ_levels ½ · mean over every element of (f̂_s − f̂_t)²`
//!
//! which is 1 minus the mean Pearson correlation of the channels, but for the factor of the unbiased
//! standard deviation. It has no unit. Of two sizes the larger is averaged down. In the term, a student with
//! another number of channels gets a 1×1 convolution to the teacher's. A constant channel has no
//! pattern: its `f̂` is 0.
//!
//! Source: W. Cao, Y. Zhang, J. Gao, A. Cheng, K. Cheng, J. Cheng, "PKD: General Distillation
//! Framework for Object Detectors via Pearson Correlation Coefficient", NeurIPS 2022.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::standardised_distance;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Adapted;
use crate::terms::bilinear::bilinear;
use crate::terms::maps::{at_one_size, pair_levels};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "pkd",
    title: "Distillation by Pearson correlation",
    formula: "Σ_levels ½ · mean( (f̂_s − f̂_t)² ),  f̂ = f standardised over batch and positions",
    source: "Cao, Zhang, Gao, Cheng, Cheng, Cheng, NeurIPS 2022",
    needs: "feature maps of both networks, of any channels and sizes; owns a 1×1 convolution where \
            channels differ",
    when: "Detectors of different kinds, whose features differ in size and offset more than in \
           pattern.",
    teacher: true,
    weight: 6.0,
    reads: &[Part::Maps],
};

/// Added to the standard deviation, as the authors' code does.
const EPSILON: f64 = 1e-6;

/// Distillation by Pearson correlation of one level, from maps `[batch, channels, height, width]` of
/// the same channels.
///
/// Sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or channels differ or a map is empty.
pub fn pkd(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_batch("pkd", &student, &teacher)?;
    check::same_channels("pkd", &student, &teacher)?;
    let [student, teacher] = at_one_size(student, teacher.detach());
    Ok(standardised_distance(student, teacher, EPSILON).mean() * 0.5)
}

/// [`pkd`] of maps of different sizes in which one is interpolated to the other's size, as the authors do: the student's
/// to the teacher's, or the other way round (bilinear, half-pixel centres, no averaging).
///
/// # Errors
/// As [`pkd`].
pub fn pkd_interpolated(
    student: Tensor<4>,
    teacher: Tensor<4>,
    resized: PkdResized,
) -> Result<Tensor<1>, Error> {
    check::same_batch("pkd", &student, &teacher)?;
    let size = |map: &Tensor<4>| {
        let [_, _, height, width] = map.dims();
        [height, width]
    };
    match resized {
        PkdResized::Student => {
            let size = size(&teacher);
            pkd(bilinear(student, size), teacher)
        }
        PkdResized::Teacher => {
            let teacher = bilinear(teacher.detach(), size(&student));
            pkd(student, teacher)
        }
    }
}

/// Which map [`pkd_interpolated`] brings to the other's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkdResized {
    /// The student's, before it is standardised.
    Student,
    /// The teacher's.
    Teacher,
}

/// Parameters of [`Pkd`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PkdConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
}

impl PkdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, and
    /// [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Pkd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let levels = pair_levels("pkd", &self.levels, student, teacher)?;
        Ok(Pkd {
            maps: Adapted::new(levels, student, teacher, device)?,
        })
    }
}

/// The sum of [`pkd`] over levels of the two networks.
#[derive(Module, Debug)]
pub struct Pkd {
    maps: Adapted,
}

impl Pkd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`pkd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        self.maps.sum_over("pkd", pair, pkd)
    }
}
