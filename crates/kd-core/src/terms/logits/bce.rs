//! Binary distillation: each class is a question of its own, as in multi-label problems.
//!
//! With logits `z` `[batch, classes]`, temperature `T` and `p = sigmoid(z / T)`:
//!
//! `L = T² · mean over every element of −p_t · log p_s − (1 − p_t) · log(1 − p_s)`, in nats.
//!
//! The loss is smallest, with no gradient, where the student equals the teacher; its value there
//! is `T²` times the teacher's own entropy, not 0. Both logarithms are taken of the logit, so a
//! sure student costs a large number instead of infinity.
//!
//! Source: G. Hinton, O. Vinyals, J. Dean, "Distilling the Knowledge in a Neural Network", arXiv
//! 2015, with one sigmoid a class in place of a softmax, as P. Yang, M.-K. Xie, C.-C. Zong, L. Feng,
//! G. Niu, M. Sugiyama, S.-J. Huang, "Multi-Label Knowledge Distillation", ICCV 2023, has it.

use burn::module::Module;
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Schedule, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "bce",
    title: "Binary cross-entropy with the teacher",
    formula: "T² · mean( −p_t · log p_s − (1 − p_t) · log(1 − p_s) ),  p = sigmoid(z / T)",
    source: "Hinton, Vinyals, Dean, arXiv 2015, by class as in Yang et al., ICCV 2023",
    needs: "logits of both networks, over the same classes",
    when: "When several classes, or none, may hold at once and the teacher was trained with a \
           sigmoid a class.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// `T²` times the binary cross-entropy with the teacher's softened probabilities, from logits
/// `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0.
pub fn bce(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Result<Tensor<1>, Error> {
    check::same_shape("bce", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let student = student / temperature;
    let teacher = teacher.detach() / temperature;
    let yes = sigmoid(teacher.clone()) * log_sigmoid(student.clone());
    let no = sigmoid(teacher.neg()) * log_sigmoid(student.neg());
    Ok((yes + no).mean() * -(temperature * temperature))
}

/// Parameters of [`Bce`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BceConfig {
    /// Temperature of both sigmoids, above 0; it may follow a [`Schedule`].
    pub temperature: Schedule,
}

impl Default for BceConfig {
    fn default() -> Self {
        Self {
            temperature: Schedule::Constant(1.0),
        }
    }
}

impl BceConfig {
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
    ) -> Result<Bce, Error> {
        self.temperature.validate_positive("temperature")?;
        check::same_classes("bce", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(Bce {
            temperature: self.temperature.clone(),
        })
    }
}

/// The [`bce`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Bce {
    #[module(skip)]
    temperature: Schedule,
}

impl Bce {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`bce`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        bce(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            self.temperature.at(step),
        )
    }
}
