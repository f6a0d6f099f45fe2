//! DIST: the student keeps the order of the teacher's probabilities, not their values.
//!
//! With logits `z` `[batch, classes]`, temperature `T`, `p = softmax(z / T)` and `ρ` the Pearson
//! correlation:
//!
//! `L = T² · (β · (1 − mean over rows of ρ(p_s, p_t)) + γ · (1 − mean over columns of ρ(p_s, p_t)))`
//!
//! Rows are the classes of a sample, columns the samples' probabilities of a class; `L` has no
//! unit. As in reference code, `ρ` is `x·y / (‖x‖‖y‖ + 10⁻⁸)` of centred vectors: one that does not
//! vary correlates with nothing and counts as 0. So the columns of a batch of one, which have
//! nothing to vary, add the constant `T²·γ`, and two equal networks lose next to nothing only where
//! their probabilities vary by much more than `10⁻⁴`.
//!
//! Source: T. Huang, S. You, F. Wang, C. Qian, C. Xu, "Knowledge Distillation from A Stronger
//! Teacher", NeurIPS 2022.

use burn::module::Module;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::unit::{norm, widened};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "dist",
    title: "Distillation from a stronger teacher",
    formula: "T² · (β · (1 − mean_rows ρ(p_s, p_t)) + γ · (1 − mean_columns ρ(p_s, p_t))),  \
              ρ = Pearson correlation",
    source: "Huang, You, Wang, Qian, Xu, NeurIPS 2022",
    needs: "logits of both networks, over the same classes",
    when: "When the teacher is much stronger than the student, so that matching its probabilities \
           asks too much. β = γ = 2 with T = 4 are usual on CIFAR-100. Use batches of many samples.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// Added to the product of norms in a correlation.
const EPSILON: f64 = 1e-8;

/// Parameters of [`Dist`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DistConfig {
    /// Weight of the correlations within samples, at least 0.
    pub beta: f64,
    /// Weight of the correlations within classes, at least 0.
    pub gamma: f64,
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
}

impl Default for DistConfig {
    fn default() -> Self {
        Self {
            beta: 1.0,
            gamma: 1.0,
            temperature: 1.0,
        }
    }
}

/// Correlation loss of logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0 or a weight is below 0.
pub fn dist(
    student: Tensor<2>,
    teacher: Tensor<2>,
    config: &DistConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("dist", &student, &teacher)?;
    config.validate()?;
    let dtype = student.dtype();
    let [student, teacher] =
        [student, teacher.detach()].map(|logits| softmax(widened(logits) / config.temperature, 1));
    let within_samples = uncorrelated(student.clone(), teacher.clone()) * config.beta;
    let within_classes = uncorrelated(student.transpose(), teacher.transpose()) * config.gamma;
    let sum = (within_samples + within_classes) * (config.temperature * config.temperature);
    Ok(sum.cast(dtype))
}

/// One minus the mean correlation of rows.
fn uncorrelated(x: Tensor<2>, y: Tensor<2>) -> Tensor<1> {
    let [x, y] = [x, y].map(|rows| rows.clone() - rows.mean_dim(1));
    let product = (x.clone() * y.clone()).sum_dim(1);
    let correlation = product / (norm(x) * norm(y) + EPSILON);
    correlation.mean().neg() + 1.0
}

impl DistConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when a value is out of range, [`Error::NoTeacher`], and
    /// [`Error::Shape`] when the class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Dist, Error> {
        self.validate()?;
        check::same_classes("dist", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(Dist {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        check::not_negative("beta", self.beta)?;
        check::not_negative("gamma", self.gamma)?;
        check::positive("temperature", self.temperature)
    }
}

/// The [`dist`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Dist {
    #[module(skip)]
    config: DistConfig,
}

impl Dist {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`dist`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        dist(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            &self.config,
        )
    }
}
