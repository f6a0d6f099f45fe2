//! Weighted soft labels: a sample counts by how much less the student knows than the teacher.
//!
//! With logits `z` `[batch, classes]`, labels `y`, temperature `T` and `p = softmax(z / T)`, let
//! `h` be the cross-entropy of unsoftened logits with the label, and for each sample
//! `w = 1 − exp(−h_s / (h_t + 10⁻⁷))`, a constant to the gradient:
//!
//! `L = T² · mean over the batch of w · (−Σ_c p_t[c] · log p_s[c])`, in nats.
//!
//! A student that already fits the label is hardly drawn to the teacher's soft labels, which only
//! regularise it. The soft part is a cross-entropy, not a divergence: where the student equals the
//! teacher its gradient is 0, but the loss is `T² · (1 − 1/e)` times the teacher's entropy.
//!
//! The paper adds it to the cross-entropy with the labels at weight 1: put `cross_entropy` beside
//! it.
//!
//! Source: H. Zhou, L. Song, J. Chen, Y. Zhou, G. Wang, J. Yuan, Q. Zhang, "Rethinking Soft Labels
//! for Knowledge Distillation: A Bias-Variance Tradeoff Perspective", ICLR 2021.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Schedule, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "wsld",
    title: "Weighted soft-label distillation",
    formula: "T² · mean_b( w · −Σ_c p_t · log p_s ),  w = 1 − exp(−h_s / h_t),  \
              h = cross-entropy with the label",
    source: "Zhou, Song, Chen, Zhou, Wang, Yuan, Zhang, ICLR 2021",
    needs: "logits of both networks, over the same classes; labels",
    when: "Instead of kd, beside cross_entropy at weight 1, when soft labels keep the student from \
           fitting samples it already knows.",
    teacher: true,
    weight: 2.5,
    reads: &[],
};

/// Added to the teacher's cross-entropy, which may be 0.
const EPSILON: f64 = 1e-7;

/// Weighted soft-label loss of logits `[batch, classes]` with class indices `[batch]`.
///
/// No gradient reaches the teacher or the weights. A label must lie in `0..classes` (not checked,
/// see [`cross_entropy`](crate::terms::cross_entropy::cross_entropy)).
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0.
pub fn wsld(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("wsld", &student, &teacher)?;
    check::labels_fit("wsld", &student, &labels)?;
    check::positive("temperature", temperature)?;
    let teacher = teacher.detach();
    let labels: Tensor<2, Int> = labels.unsqueeze_dim(1);
    let surprise = |logits: Tensor<2>| log_softmax(logits, 1).gather(1, labels.clone()).neg();
    let ratio = surprise(student.clone().detach()) / (surprise(teacher.clone()) + EPSILON);
    let weight = ratio.neg().exp().neg() + 1.0;
    let log_student = log_softmax(student / temperature, 1);
    let log_teacher = log_softmax(teacher / temperature, 1);
    let soft = (log_teacher.exp() * log_student).sum_dim(1);
    Ok((weight * soft).mean() * -(temperature * temperature))
}

/// Parameters of [`Wsld`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WsldConfig {
    /// Temperature of both softmaxes, above 0; it may follow a [`Schedule`].
    pub temperature: Schedule,
}

impl Default for WsldConfig {
    fn default() -> Self {
        Self {
            temperature: Schedule::Constant(2.0),
        }
    }
}

impl WsldConfig {
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
    ) -> Result<Wsld, Error> {
        self.temperature.validate_positive("temperature")?;
        check::same_classes("wsld", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(Wsld {
            temperature: self.temperature.clone(),
        })
    }
}

/// The [`wsld`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Wsld {
    #[module(skip)]
    temperature: Schedule,
}

impl Wsld {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`wsld`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        wsld(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            pair.class()?.clone(),
            self.temperature.at(step),
        )
    }
}
