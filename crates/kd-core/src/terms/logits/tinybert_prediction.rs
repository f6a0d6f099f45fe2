//! TinyBERT's loss of predictions: a cross-entropy with the teacher's probabilities.
//!
//! With logits `z` `[batch, classes]` and temperature `T`, `p = softmax(z / T)`:
//!
//! `L = −mean over batch and classes of p_t · log p_s`, in nats.
//!
//! The mean is over the classes too, as in the authors' code: with two classes half of the usual value.
//!
//! Source: X. Jiao, Y. Yin, L. Shang, X. Jiang, X. Chen, L. Li, F. Wang, Q. Liu, "TinyBERT: Distilling BERT for Natural
//! Language Understanding", Findings of EMNLP 2020.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "tinybert_prediction",
    title: "TinyBERT's loss of predictions",
    formula: "−mean_{b,c}( p_t · log p_s ),  p = softmax(z / T)",
    source: "Jiao, Yin, Shang, Jiang, Chen, Li, Wang, Liu, Findings of EMNLP 2020",
    needs: "logits of both networks, over the same classes",
    when: "TinyBERT's second stage, alone: labels are not used.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// Cross-entropy with the teacher's probabilities, from logits `[batch, classes]`, a mean over batch and classes.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when `temperature` is not above 0.
pub fn tinybert_prediction(
    student: Tensor<2>,
    teacher: Tensor<2>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("tinybert_prediction", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let shares = softmax(teacher.detach() / temperature, 1);
    Ok((shares * log_softmax(student / temperature, 1))
        .mean()
        .neg())
}

/// Parameters of [`TinyBertPrediction`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TinyBertPredictionConfig {
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
}

impl Default for TinyBertPredictionConfig {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl TinyBertPredictionConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when the temperature is not above 0, [`Error::NoTeacher`], and [`Error::Shape`] when the class
    /// counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<TinyBertPrediction, Error> {
        check::positive("temperature", self.temperature)?;
        check::same_classes(
            "tinybert_prediction",
            student,
            teacher.ok_or(Error::NoTeacher)?,
        )?;
        Ok(TinyBertPrediction {
            temperature: self.temperature,
        })
    }
}

/// The [`tinybert_prediction`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct TinyBertPrediction {
    temperature: f64,
}

impl TinyBertPrediction {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`tinybert_prediction`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        tinybert_prediction(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            self.temperature,
        )
    }
}
