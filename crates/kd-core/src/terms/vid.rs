//! Variational information distillation: the student's maps tell as much as they can of the teacher's.
//!
//! A bound on the mutual information of the two maps is the likelihood of the teacher's map `t` under
//! a Gaussian whose mean `μ` is predicted from the student's map and whose variance is a trained
//! parameter of each channel of the teacher. With maps `[batch, channels, height, width]` (of two sizes
//! the larger is averaged down):
//!
//! `L = Σ_levels mean over every element of ½ · ( (μ − t)² / σ² + log σ² )`,  `σ² = softplus(ρ) + 1e-5`
//!
//! in nats, less the constant `½ log 2π`; it can be below 0. `μ` comes from three 1×1 convolutions with
//! ReLUs between them, and `ρ` starts where `σ²` is 5. Both train beside the student. Where `μ = t`
//! the loss is `½ mean log σ²`.
//!
//! Source: S. Ahn, S. X. Hu, A. Damianou, N. D. Lawrence, Z. Dai, "Variational Information Distillation
//! for Knowledge Transfer", CVPR 2019.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{conv, conv_relu};
use kd_kernels::squared_distance;
use serde::{Deserialize, Serialize};

use super::adapter::{built_for, convolution};
use super::maps::{LevelPair, at_one_size, pair_levels, sum, taps};
use super::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(super) const ABOUT: About = About {
    name: "vid",
    title: "Variational information distillation",
    formula: "Σ_levels mean ½( (μ − t)² / σ² + log σ² ),  μ predicted from f_s, σ² trained by channel",
    source: "Ahn, Hu, Damianou, Lawrence, Dai, CVPR 2019",
    needs: "feature maps of both networks, of any channels and sizes; owns a predictor and a variance \
            a level",
    when: "When not every channel of the teacher can be predicted by the student: those that cannot \
           get a larger variance and count less.",
    teacher: true,
    weight: 1.0,
};

/// Least variance.
const EPSILON: f64 = 1e-5;

/// Negative log-likelihood of one level of the teacher, from maps `[batch, channels, height, width]`
/// and `log_scale` `[channels]`, the variance before its softplus.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, the batch is empty, or there is not one `log_scale` a
/// channel.
pub fn vid(
    prediction: Tensor<4>,
    teacher: Tensor<4>,
    log_scale: Tensor<1>,
) -> Result<Tensor<1>, Error> {
    check::same_shape("vid", &prediction, &teacher)?;
    let [_, channels, ..] = teacher.dims();
    let [scales] = log_scale.dims();
    if scales != channels {
        return Err(Error::Shape {
            loss: "vid",
            problem: format!("{scales} variances for {channels} channels"),
        });
    }
    let variance = softplus(log_scale, 1.0) + EPSILON;
    // Neither needs an average over positions: each channel has as many.
    let entropy = variance.clone().log();
    let distance = squared_distance(prediction, teacher) / variance;
    Ok((distance + entropy).mean() * 0.5)
}

/// Parameters of [`Vid`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VidConfig {
    /// Levels of the student's maps: 0 is the stem, then one per stage. The teacher's are as far
    /// from its last. Empty: all that both networks have after their stems.
    pub levels: Vec<usize>,
    /// Variance at the start, above 1e-5.
    pub variance: f64,
}

impl Default for VidConfig {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            variance: 5.0,
        }
    }
}

impl VidConfig {
    /// Builds the term with its predictors and variances from a dry run of both networks that kept
    /// their maps.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a network lacks a level or the variance is too
    /// small, and [`Error::MissingTap`] when a dry run did not keep its map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Vid, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::above("variance", self.variance, EPSILON)?;
        let levels = pair_levels("vid", &self.levels, student, teacher)?;
        let predictors = levels
            .iter()
            .map(|[of_student, of_teacher]| {
                let [_, from, ..] = student.maps.get(*of_student)?.dims();
                let [_, to, ..] = teacher.maps.get(*of_teacher)?.dims();
                Ok(Predictor::new([from, to], self.variance, device))
            })
            .collect::<Result<_, Error>>()?;
        Ok(Vid { levels, predictors })
    }
}

/// The sum of [`vid`] over levels of the two networks, with a predictor each.
#[derive(Module, Debug)]
pub struct Vid {
    #[module(skip)]
    levels: Vec<LevelPair>,
    predictors: Vec<Predictor>,
}

impl Vid {
    /// The maps of the compared levels.
    pub fn taps(&self) -> PairTaps {
        taps(&self.levels)
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the
    /// channels of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let levels = self.levels.iter().zip(&self.predictors);
        let losses = levels.map(|([of_student, of_teacher], predictor)| {
            let student = pair.student.maps.get(*of_student)?;
            let [student, teacher] = at_one_size(student, teacher.maps.get(*of_teacher)?);
            vid(
                predictor.forward(student)?,
                teacher,
                predictor.log_scale.val(),
            )
        });
        sum(&pair.student.logits.device(), losses)
    }
}

/// Mean and variance of a map of the teacher, given the student's.
#[derive(Module, Debug)]
struct Predictor {
    channels: usize,
    layers: Vec<Conv2d>,
    log_scale: Param<Tensor<1>>,
}

impl Predictor {
    fn new([from, to]: [usize; 2], variance: f64, device: &Device) -> Self {
        let layer = |channels| convolution(channels, 1, 1, false, device);
        // The inverse of softplus, in a form that does not overflow.
        let variance = variance - EPSILON;
        let log_scale = variance + (-(-variance).exp_m1()).ln();
        Self {
            channels: from,
            layers: vec![layer([from, to]), layer([to, to]), layer([to, to])],
            log_scale: Param::from_tensor(Tensor::full([to], log_scale, device)),
        }
    }

    fn forward(&self, map: Tensor<4>) -> Result<Tensor<4>, Error> {
        built_for("vid", "student", self.channels, &map.dims())?;
        let Some((last, layers)) = self.layers.split_last() else {
            return Ok(map);
        };
        let hidden = layers.iter().fold(map, |map, layer| conv_relu(layer, map));
        Ok(conv(last, hidden))
    }
}
