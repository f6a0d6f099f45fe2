//! Distillation through attention: a token of its own learns from the teacher.
//!
//! A distilled DeiT has two classifiers: `z_c` reads the class token, `z_d` the distillation token, both
//! `[batch, classes]`. With labels `y`, smoothing `ε`, and `y_t = argmax_c z_t[c]`:
//!
//! `L = (1 − α) · CE_ε(z_c, y) + α · D(z_d, z_t)`, in nats, where `D` is
//!
//! - `hard`: `CE(z_d, y_t)`, the cross-entropy with the teacher's decision, or
//! - `soft`: `T² · mean over batch and classes of p_t · (log p_t − log p_d)`, `p = softmax(z / T)`.
//!
//! The published code divides the soft form by the classes too, so it is smaller than [`kd`](super::super::kd) by
//! their number. After training a distilled DeiT answers with the mean of both logits.
//!
//! Source: H. Touvron, M. Cord, M. Douze, F. Massa, A. Sablayrolles, H. Jégou, "Training Data-Efficient Image
//! Transformers & Distillation through Attention", ICML 2021, and its code.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::cross_entropy::{cross_entropy, soft_cross_entropy};
use crate::terms::hard_labels::hard_labels;
use crate::terms::kd::kd;
use crate::terms::{About, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "deit",
    title: "Distillation token",
    formula: "(1 − α) · CE(z_class, y) + α · CE(z_distillation, argmax z_t), or α · soft KL / classes",
    source: "Touvron, Cord, Douze, Massa, Sablayrolles, Jégou, ICML 2021",
    needs: "a student with a distillation token (`deit_*_distilled_*`), logits of the teacher, labels",
    when: "A distilled DeiT. It is the whole objective: the class token has the labels, so no cross_entropy beside it.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Heads],
};

/// What the distillation token learns of the teacher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeitForm {
    /// Its decision.
    #[default]
    Hard,
    /// Its softened probabilities.
    Soft,
}

/// The soft form from logits `[batch, classes]`: [`kd`] divided by the number of classes.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// As [`kd`].
pub fn deit_soft(
    student: Tensor<2>,
    teacher: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("deit_soft", &student, &teacher)?;
    let [_, classes] = student.dims();
    Ok(kd(student, teacher, temperature)? / classes as f64)
}

/// Parameters of [`Deit`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeitConfig {
    /// What the distillation token learns: `hard` or `soft`.
    pub form: DeitForm,
    /// Share `α` of the teacher, in `[0, 1]`.
    pub alpha: f64,
    /// Temperature of the soft form, above 0.
    pub temperature: f64,
    /// Smoothing of the labels that the class token learns, in `[0, 1)`.
    pub smoothing: f64,
}

impl Default for DeitConfig {
    fn default() -> Self {
        Self {
            form: DeitForm::Hard,
            alpha: 0.5,
            temperature: 1.0,
            smoothing: 0.1,
        }
    }
}

impl DeitConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and [`Error::Shape`] when the student has
    /// not two classifiers or the class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Deit, Error> {
        check::share("alpha", self.alpha)?;
        check::positive("temperature", self.temperature)?;
        check::fraction("smoothing", self.smoothing)?;
        check::same_classes("deit", student, teacher.ok_or(Error::NoTeacher)?)?;
        let heads = student.levels(Part::Heads);
        if heads != 2 {
            return Err(Error::Shape {
                loss: "deit",
                problem:
                    "the student has no distillation token with a classifier of its own; take a \
                          network such as `deit_tiny_distilled_patch16_224`"
                        .into(),
            });
        }
        Ok(Deit {
            config: self.clone(),
        })
    }
}

/// The loss of a student with a distillation token.
#[derive(Module, Debug)]
pub struct Deit {
    #[module(skip)]
    config: DeitConfig,
}

impl Deit {
    /// The logits of both classifiers of the student.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: Taps::levels(Part::Heads, Levels::All),
            teacher: Taps::none(),
        }
    }

    /// The loss of one batch, `[1]`. Mixed rows have the shares of their classes as labels.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`cross_entropy`] and [`kd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let DeitConfig {
            form,
            alpha,
            temperature,
            smoothing,
        } = self.config;
        let class = pair.student.get(Part::Heads, 0)?;
        let distillation = pair.student.get(Part::Heads, 1)?;
        let teacher = pair.teacher()?.logits.clone();
        let labels = match &pair.targets.shares {
            None => cross_entropy(class, pair.class()?.clone(), smoothing)?,
            Some(shares) => soft_cross_entropy(class, shares.clone(), smoothing)?,
        };
        let taught = match form {
            DeitForm::Hard => hard_labels(distillation, teacher)?,
            DeitForm::Soft => deit_soft(distillation, teacher, temperature)?,
        };
        Ok(labels * (1.0 - alpha) + taught * alpha)
    }
}
