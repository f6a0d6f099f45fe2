//! Logit regression: the student's logits are the teacher's.
//!
//! With logits `z` `[batch, classes]`:
//!
//! `L = mean over every element of (z_s − z_t)²`, in squared logits.
//!
//! [`kd`](crate::terms::kd) at a high temperature comes close to it when logits are centred, but does not
//! ask for the teacher's offset.
//!
//! Source: J. Ba, R. Caruana, "Do Deep Nets Really Need to be Deep?", NIPS 2014.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "squared_logits",
    title: "Squared difference of logits",
    formula: "mean( (z_s − z_t)² )",
    source: "Ba, Caruana, NIPS 2014",
    needs: "logits of both networks, over the same classes",
    when: "When a temperature is one choice too many, or there are no labels; its size follows the \
           size of the teacher's logits, so the weight may need it.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// Mean squared difference of logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn squared_logits(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_shape("squared_logits", &student, &teacher)?;
    Ok((student - teacher.detach()).square().mean())
}

/// Parameters of [`SquaredLogits`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SquaredLogitsConfig {}

impl SquaredLogitsConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and [`Error::Shape`] when the class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<SquaredLogits, Error> {
        check::same_classes("squared_logits", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(SquaredLogits {})
    }
}

/// The [`squared_logits`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct SquaredLogits {}

impl SquaredLogits {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`squared_logits`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        squared_logits(pair.student.logits.clone(), pair.teacher()?.logits.clone())
    }
}
