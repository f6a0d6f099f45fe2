//! Knowledge distillation: the student matches the teacher's softened class probabilities.
//!
//! With logits `z` `[batch, classes]` and temperature `T`, `p = softmax(z / T)`:
//!
//! `L = T² · mean over the batch of Σ_c p_t[c] · (log p_t[c] − log p_s[c])`, in nats.
//!
//! `T²` keeps the size of the gradient, which softening divides by about `T²`, so that the weight
//! beside a cross-entropy keeps its meaning when `T` changes.
//!
//! Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network",
//! NIPS Deep Learning Workshop 2014 / arXiv 2015.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Schedule, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "kd",
    title: "Knowledge distillation",
    formula: "T² · mean_b Σ_c p_t · (log p_t − log p_s),  p = softmax(z / T)",
    source: "Hinton, Vinyals, Dean, arXiv 2015",
    needs: "logits of both networks, over the same classes",
    when: "The first thing to try, and what every other method is compared with.",
    teacher: true,
    weight: 0.9,
    reads: &[],
};

/// Mean Kullback-Leibler divergence of the student's softmax from the teacher's, row by row;
/// no gradient reaches the teacher.
///
/// Both logarithms come from log-sum-exp, so a class that the student rules out costs a large
/// number instead of infinity.
pub(in crate::terms) fn divergence(student: Tensor<2>, teacher: Tensor<2>) -> Tensor<1> {
    let log_student = log_softmax(student, 1);
    let log_teacher = log_softmax(teacher.detach(), 1);
    (log_teacher.clone().exp() * (log_teacher - log_student))
        .sum_dim(1)
        .mean()
}

/// `T²` times the divergence of softened class probabilities, from logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0.
pub fn kd(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Result<Tensor<1>, Error> {
    check::same_shape("kd", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    Ok(divergence(student / temperature, teacher / temperature) * (temperature * temperature))
}

/// Parameters of [`Kd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KdConfig {
    /// Temperature of both softmaxes, above 0; it may follow a [`Schedule`].
    pub temperature: Schedule,
}

impl Default for KdConfig {
    fn default() -> Self {
        Self {
            temperature: Schedule::Constant(4.0),
        }
    }
}

impl KdConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when a temperature is not above 0, [`Error::NoTeacher`], and
    /// [`Error::Shape`] when the class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Kd, Error> {
        self.temperature.validate_positive("temperature")?;
        check::same_classes("kd", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(Kd {
            temperature: self.temperature.clone(),
        })
    }
}

/// The [`kd`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Kd {
    #[module(skip)]
    temperature: Schedule,
}

impl Kd {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`kd`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        kd(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            self.temperature.at(step),
        )
    }
}
