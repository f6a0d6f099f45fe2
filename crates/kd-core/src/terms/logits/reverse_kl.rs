//! Reverse divergence: the student is right where it speaks, rather than speaking everywhere the
//! teacher does.
//!
//! With logits `z` `[batch, classes]` and temperature `T`, `p = softmax(z / T)`:
//!
//! `L = T² · mean over the batch of Σ_c p_s[c] · (log p_s[c] − log p_t[c])`, in nats.
//!
//! [`kd`](crate::terms::kd) averages over the teacher's probabilities and punishes the student for every
//! class it misses; this averages over the student's, and punishes it for every class it makes up.
//!
//! Source: R. Agarwal, N. Vieillard, Y. Zhou, P. Stanczyk, S. Ramos, M. Geist, O. Bachem,
//! "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", ICLR 2024.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Schedule, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "reverse_kl",
    title: "Reverse Kullback-Leibler divergence",
    formula: "T² · mean_b Σ_c p_s · (log p_s − log p_t),  p = softmax(z / T)",
    source: "Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist, Bachem, ICLR 2024",
    needs: "logits of both networks, over the same classes",
    when: "When the student is too small to follow the teacher everywhere and should settle on \
           what it can do.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// `T²` times the divergence of the teacher's softened probabilities from the student's, from
/// logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0.
pub fn reverse_kl(
    student: Tensor<2>,
    teacher: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("reverse_kl", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let log_student = log_softmax(student / temperature, 1);
    let log_teacher = log_softmax(teacher.detach() / temperature, 1);
    let divergence = (log_student.clone().exp() * (log_student - log_teacher))
        .sum_dim(1)
        .mean();
    Ok(divergence * (temperature * temperature))
}

/// Parameters of [`ReverseKl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ReverseKlConfig {
    /// Temperature of both softmaxes, above 0; it may follow a [`Schedule`].
    pub temperature: Schedule,
}

impl Default for ReverseKlConfig {
    fn default() -> Self {
        Self {
            temperature: Schedule::Constant(1.0),
        }
    }
}

impl ReverseKlConfig {
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
    ) -> Result<ReverseKl, Error> {
        self.temperature.validate_positive("temperature")?;
        check::same_classes("reverse_kl", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(ReverseKl {
            temperature: self.temperature.clone(),
        })
    }
}

/// The [`reverse_kl`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct ReverseKl {
    #[module(skip)]
    temperature: Schedule,
}

impl ReverseKl {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`reverse_kl`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        reverse_kl(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            self.temperature.at(step),
        )
    }
}
