//! Hard-label distillation: the teacher's decision is the label.
//!
//! With logits `z` `[batch, classes]`, `y_t = argmax_c z_t[c]` and `log p = log_softmax(z)`:
//!
//! `L = mean over the batch of −log p_s[y_t]`, in nats.
//!
//! Of several largest logits of the teacher, one is taken. The loss is smallest, at 0, for a student
//! that is sure of the teacher's class, so it is not 0 for two equal networks.
//!
//! Source: H. Touvron, M. Cord, M. Douze, F. Massa, A. Sablayrolles, H. Jégou, "Training
//! Data-Efficient Image Transformers & Distillation through Attention", ICML 2021. There it weighs
//! 0.5 beside a cross-entropy of 0.5.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::cross_entropy::cross_entropy;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "hard_labels",
    title: "Hard-label distillation",
    formula: "mean_b( −log p_s[y_t] ),  y_t = argmax z_t,  p = softmax(z)",
    source: "Touvron, Cord, Douze, Massa, Sablayrolles, Jégou, ICML 2021",
    needs: "logits of both networks, over the same classes",
    when: "When the teacher is better than the labels under strong augmentation, as for \
           transformers. The paper puts cross_entropy beside it, at 0.5 as well.",
    teacher: true,
    weight: 0.5,
    reads: &[],
};

/// Cross-entropy of the student's logits with the class that the teacher's prefer, both
/// `[batch, classes]`.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn hard_labels(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_shape("hard_labels", &student, &teacher)?;
    let labels = teacher.detach().argmax(1).squeeze_dim(1);
    cross_entropy(student, labels, 0.0)
}

/// Parameters of [`HardLabels`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HardLabelsConfig {}

impl HardLabelsConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and [`Error::Shape`] when the class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<HardLabels, Error> {
        check::same_classes("hard_labels", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(HardLabels {})
    }
}

/// The [`hard_labels`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct HardLabels {}

impl HardLabels {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`hard_labels`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        hard_labels(pair.student.logits.clone(), pair.teacher()?.logits.clone())
    }
}
