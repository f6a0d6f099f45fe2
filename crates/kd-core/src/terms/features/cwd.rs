//! Channel-wise distillation: each channel of the student is active where the teacher's is.
//!
//! With maps `[batch, channels, height, width]` of the same channels, let `p` be the softmax of a
//! channel over its positions at temperature `T`. Over the compared levels:
//!
//! `L = Σ_levels T² · mean over batch and channels of Σ_positions p_t · (log p_t − log p_s)`, in nats.
//!
//! Of two sizes the larger is averaged down. In the term, a student with another number of channels
//! gets a 1×1 convolution to the teacher's. A constant channel is a uniform distribution.
//!
//! Source: C. Shu, Y. Liu, J. Gao, Z. Yan, C. Shen, "Channel-wise Knowledge Distillation for Dense
//! Prediction", ICCV 2021.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::divergence_over_positions;
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Adapted;
use crate::terms::maps::{at_one_size, pair_levels};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "cwd",
    title: "Channel-wise distillation",
    formula: "Σ_levels T² · mean_bc Σ_hw p_t · (log p_t − log p_s),  p = softmax over positions of f / T",
    source: "Shu, Liu, Gao, Yan, Shen, ICCV 2021",
    needs: "feature maps of both networks, of any channels and sizes; owns a 1×1 convolution where \
            channels differ",
    when: "Dense prediction (segmentation, detection), where the place of a response says more than \
           its size.",
    teacher: true,
    weight: 50.0,
    reads: &[Part::Maps],
};

/// Channel-wise distillation of one level, from maps `[batch, channels, height, width]` of the same
/// channels.
///
/// Sizes may differ. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or channels differ or a map is empty; [`Error::Config`] when
/// `temperature` is not above 0.
pub fn cwd(student: Tensor<4>, teacher: Tensor<4>, temperature: f64) -> Result<Tensor<1>, Error> {
    check::same_batch("cwd", &student, &teacher)?;
    check::same_channels("cwd", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let [student, teacher] = at_one_size(student, teacher.detach());
    let divergence = divergence_over_positions(student, teacher, temperature);
    Ok(divergence.mean() * (temperature * temperature))
}

/// Parameters of [`Cwd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CwdConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
}

impl Default for CwdConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            temperature: 4.0,
        }
    }
}

impl CwdConfig {
    /// Builds the term from a dry run of both networks that kept their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or the temperature is
    /// not above 0, and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Cwd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::positive("temperature", self.temperature)?;
        let levels = pair_levels("cwd", &self.levels, student, teacher)?;
        Ok(Cwd {
            maps: Adapted::new(levels, student, teacher, device)?,
            temperature: self.temperature,
        })
    }
}

/// The sum of [`cwd`] over levels of the two networks.
#[derive(Module, Debug)]
pub struct Cwd {
    maps: Adapted,
    temperature: f64,
}

impl Cwd {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        self.maps.taps()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`cwd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        self.maps
            .sum_over("cwd", pair, |s, t| cwd(s, t, self.temperature))
    }
}
