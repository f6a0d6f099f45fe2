//! Overhaul of feature distillation: maps before the activation, of which only what the activation
//! would show is compared in full.
//!
//! With maps before the activation `s` and `t` `[batch, channels, height, width]` of the same channels
//! (of two sizes the larger is averaged down) and a margin `m ≤ 0` for each channel, let `t' = max(t, m)`:
//!
//! `L = mean over the batch of Σ_chw (s − t')² [t > 0 or s > t']`
//!
//! in the unit of a squared map. Where the teacher's unit is on, the student should meet it; where it is
//! off, the student should only be as low as it or as the margin. Over levels the term adds
//! `2^(i − n + 1)` times the loss of level `i` of `n`, counted from 0. The student's map goes through a 1×1
//! convolution to the teacher's channels and batch normalisation.
//!
//! The margin of a channel is the mean of the teacher's negative responses, `E[t | t < 0]`. Where `t` comes
//! out of a batch normalisation, [`margins`] has it from the layer's parameters, as the authors do. The
//! term knows no layers: it measures the mean on the teacher's maps as they pass, as a moving average over
//! about a hundred batches that is kept with the term (a buffer, not trained). A channel that was never
//! negative has margin 0, which nothing reads. What is measured is the mean that the authors' formula assumes a
//! Gaussian for, so that the two agree as far as responses are one. Who has the layers gives their margins to
//! [`Ofd::forward_with_margins`], which is the authors' loss to the last digit.
//!
//! The authors' code divides by 1000 for CIFAR-100, which is the default weight here.
//!
//! Source: B. Heo, J. Kim, S. Yun, H. Park, N. Kwak, J. Y. Choi, "A Comprehensive Overhaul of Feature
//! Distillation", ICCV 2019.

use burn::module::{Module, RunningState};
use burn::tensor::{Device, Tensor};
use kd_kernels::{negative_part, one_sided_distance};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::maps::{LevelPair, at_one_size, pair_preact_levels, sum, taps_preact};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "ofd",
    title: "Overhaul of feature distillation",
    formula: "Σ_levels 2^(i−n+1) · mean_b Σ_chw (s − t')² [t > 0 or s > t'],  t' = max(t, margin)",
    source: "Heo, Kim, Yun, Park, Kwak, Choi, ICCV 2019",
    needs: "feature maps of both networks before the activation, of any channels and sizes; owns a 1×1 \
            convolution a level",
    when: "Strong for convolutional students of the teacher's family. Its sums are large: keep the \
           weight near the default.",
    teacher: true,
    weight: 0.001,
    reads: &[Part::MapsPreact],
};

/// Share of a batch in the moving average of the margins.
const MOMENTUM: f64 = 0.01;

/// Probability of a negative response below which its mean is not taken from the formula.
const RARE: f64 = 1e-3;

/// Overhaul loss of one level, from maps `[batch, channels, height, width]` before the activation, of the
/// same channels, and a `margin` `[channels]`, at most 0.
///
/// Sizes may differ. No gradient reaches the teacher or the margin.
///
/// # Errors
/// [`Error::Shape`] when batch sizes or channels differ, a map is empty, or there is not one margin a
/// channel.
pub fn ofd(student: Tensor<4>, teacher: Tensor<4>, margin: Tensor<1>) -> Result<Tensor<1>, Error> {
    check::same_batch("ofd", &student, &teacher)?;
    check::same_channels("ofd", &student, &teacher)?;
    let [student, teacher] = at_one_size(student, teacher.detach());
    let [_, channels, height, width] = student.dims();
    let [margins] = margin.dims();
    if margins != channels {
        return Err(Error::Shape {
            loss: "ofd",
            problem: format!("{margins} margins for {channels} channels"),
        });
    }
    // The mean first: a sum over a large map leaves the range of half precision.
    let distance = one_sided_distance(student, teacher, margin);
    Ok(distance.mean() * (channels * height * width) as f64)
}

/// Margins `[channels]` of a map that a batch normalisation with scale `gamma` and shift `beta`
/// `[channels]` gives: the mean of the negative part of a Gaussian with standard deviation `|γ|` and mean `β`,
///
/// `m = β − |γ| · φ(β/γ) / Φ(−β/|γ|)`, and `−3 |γ|` where less than a thousandth is negative.
pub fn margins(gamma: Tensor<1>, beta: Tensor<1>) -> Tensor<1> {
    let deviation = gamma.detach().abs();
    let beta = beta.detach();
    let still = deviation.clone().equal_elem(0.0);
    let ratio = beta.clone() / deviation.clone().mask_fill(still.clone(), 1.0);
    let negative = (ratio.clone() / -std::f64::consts::SQRT_2).erf() * 0.5 + 0.5;
    let density = (ratio.square() * -0.5).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let rare = negative.clone().lower_equal_elem(RARE);
    let mean = beta.clone() - deviation.clone() * density / negative.mask_fill(rare.clone(), 1.0);
    // Without standard deviation every response is the mean.
    mean.mask_where(rare, deviation * -3.0)
        .mask_where(still, beta.clamp_max(0.0))
}

/// Parameters of [`Ofd`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OfdConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
}

impl OfdConfig {
    /// Builds the term and its adapters from a dry run of both networks that kept their maps before
    /// the activation.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level, and
    /// [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Ofd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let levels = pair_preact_levels("ofd", &self.levels, student, teacher)?;
        let mut connectors = Vec::with_capacity(levels.len());
        let mut responses = Vec::with_capacity(levels.len());
        for [of_student, of_teacher] in &levels {
            let [_, from, ..] = student.map_preact(*of_student)?.dims();
            let [_, to, ..] = teacher.map_preact(*of_teacher)?.dims();
            connectors.push(Connector::pointwise([from, to], device));
            responses.push(RunningState::new(Tensor::zeros([2, to], device)));
        }
        Ok(Ofd {
            levels,
            connectors,
            responses,
        })
    }
}

/// The weighted sum of [`ofd`] over levels of the two networks, with an adapter and margins each.
#[derive(Module, Debug)]
pub struct Ofd {
    #[module(skip)]
    levels: Vec<LevelPair>,
    connectors: Vec<Connector>,
    /// Of each channel, the mean of its negative part and how often it is negative, `[2, channels]`.
    responses: Vec<RunningState<Tensor<2>>>,
}

impl Ofd {
    /// The maps of the compared levels before the activation.
    pub fn taps(&self) -> PairTaps {
        taps_preact(&self.levels)
    }

    /// The loss of one batch, `[1]`. On a device that records gradients the batch counts for the margins.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        self.over_levels(pair, |level, target| {
            margin_of(&self.responses[level], target)
        })
    }

    /// As [`Ofd::forward`], with the margin `[channels]` of every level from outside, such as those of
    /// [`margins`]. Nothing is measured.
    ///
    /// # Errors
    /// As [`Ofd::forward`], and [`Error::Shape`] when there is not one margin a level and channel.
    pub fn forward_with_margins(
        &self,
        pair: &Pair,
        margins: &[Tensor<1>],
    ) -> Result<Tensor<1>, Error> {
        if margins.len() != self.levels.len() {
            return Err(Error::Shape {
                loss: "ofd",
                problem: format!("{} margins for {} levels", margins.len(), self.levels.len()),
            });
        }
        self.over_levels(pair, |level, _| Ok(margins[level].clone()))
    }

    fn over_levels(
        &self,
        pair: &Pair,
        margin: impl Fn(usize, &Tensor<4>) -> Result<Tensor<1>, Error>,
    ) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let levels = self.levels.iter().zip(&self.connectors).enumerate();
        let losses = levels.map(|(i, ([s, t], connector))| {
            let map = connector.forward("ofd", pair.student.map_preact(*s)?)?;
            let target = teacher.map_preact(*t)?;
            let margin = margin(i, &target)?;
            let share = 0.5_f64.powi((self.levels.len() - 1 - i) as i32);
            Ok(ofd(map, target, margin)? * share)
        });
        sum(&pair.student.logits.device(), losses)
    }
}

/// The margin of each channel, with the batch's responses among those that count.
fn margin_of(responses: &RunningState<Tensor<2>>, teacher: &Tensor<4>) -> Result<Tensor<1>, Error> {
    let [_, channels, ..] = teacher.dims();
    let batch = negative_part(teacher.clone());
    let known = responses.value_sync();
    crate::terms::adapter::built_for("ofd", "teacher", known.dims()[1], &teacher.dims())?;
    // Both parts start from 0 and grow alike, so that their ratio is a mean from the first batch on.
    let now = known * (1.0 - MOMENTUM) + batch * MOMENTUM;
    if teacher.device().is_autodiff() {
        responses.update(now.clone());
    }
    let often = now.clone().narrow(0, 1, 1);
    let never = often.clone().equal_elem(0.0);
    let mean = now.narrow(0, 0, 1) / often.mask_fill(never, 1.0);
    Ok(mean.reshape([channels]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_measured_over_batches() {
        let device = Device::flex().autodiff();
        let responses = RunningState::new(Tensor::zeros([2, 2], &device));
        let batch = |values: [f32; 4]| {
            let map = Tensor::<1>::from_floats(values, &device).reshape([1, 2, 2, 1]);
            let margin = margin_of(&responses, &map).unwrap().into_data();
            margin.iter::<f32>().collect::<Vec<_>>()
        };
        // The second channel is never negative.
        assert_eq!(batch([-1.0, 5.0, 0.0, 2.0]), [-1.0, 0.0]);
        // Two more that count nearly as much as the first: the mean of −1, −4 and −7.
        let found = batch([-4.0, -7.0, 1.0, 1.0]);
        assert!((found[0] + 4.0).abs() < 0.03, "{found:?}");
        assert_eq!(found[1], 0.0);
    }
}
