//! Distillation by Pearson correlation: each channel follows the teacher's, whatever its mean and size.
//!
//! With maps `[batch, channels, height, width]` of the same channels, let `f̂` be `f` less its mean,
//! divided by its standard deviation + 1e-6, both over batch and positions, channel by channel (the
//! deviation is unbiased). Over the compared levels:
//!
//! `L = Σ_levels ½ · mean over every element of (f̂_s − f̂_t)²`
//!
//! which is 1 minus the mean Pearson correlation of the channels, but for the factor of the unbiased
//! deviation. It has no unit. Of two sizes the larger is averaged down. In the term, a student with
//! another number of channels gets a 1×1 convolution to the teacher's. A constant channel has no
//! pattern: its `f̂` is 0.
//!
//! Source: W. Cao, Y. Zhang, J. Gao, A. Cheng, K. Cheng, J. Cheng, "PKD: General Distillation
//! Framework for Object Detectors via Pearson Correlation Coefficient", NeurIPS 2022.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::adapter::Adapted;
use super::maps::{at_one_size, pair_levels};
use super::unit::precision;
use super::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(super) const ABOUT: About = About {
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
};

/// Added to the deviation, as the authors' code does.
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
    let [student, teacher] = at_one_size(student, teacher.detach()).map(standardised);
    Ok((student - teacher).square().mean() * 0.5)
}

/// A map whose channels have mean 0 and deviation 1.
fn standardised(map: Tensor<4>) -> Tensor<4> {
    let shape = map.dims();
    let [batch, _, height, width] = shape;
    let count = batch * height * width;
    let means = |map: Tensor<4>| map.mean_dim(3).mean_dim(2).mean_dim(0);
    // Divided by the largest entry, no square overflows. That factor cancels, but for epsilon.
    let largest = map.clone().detach().abs();
    let largest = largest.max_dim(3).max_dim(2).max_dim(0);
    let silent = largest.clone().equal_elem(0.0);
    let largest = largest.mask_fill(silent, 1.0);
    let map = map / largest.clone();
    let centred = map.clone() - means(map);
    // A single number has no deviation, and is 0 once its mean is taken off.
    let unbiased = count as f64 / (count.max(2) - 1) as f64;
    let variance = means(centred.clone().square()) * unbiased;
    // What rounding leaves of a constant channel is no pattern.
    let rounding = 8.0 * precision(&variance);
    let constant = variance
        .clone()
        .detach()
        .lower_equal_elem(rounding * rounding);
    let deviation = variance.mask_fill(constant.clone(), 1.0).sqrt() + largest.recip() * EPSILON;
    centred.mask_fill(constant.expand(shape), 0.0) / deviation
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
