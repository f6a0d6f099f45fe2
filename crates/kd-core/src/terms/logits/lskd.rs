//! Logit standardisation: the student matches the teacher's logits up to offset and scale.
//!
//! With logits `z` `[batch, classes]`, every row is standardised,
//! `z' = (z − mean(z)) / (σ(z) + 10⁻⁷)`, `σ` the unbiased standard deviation, and compared as in
//! [`kd`](crate::terms::kd):
//!
//! `L = T² · mean over the batch of Σ_c p_t[c] · (log p_t[c] − log p_s[c])`, `p = softmax(z' / T)`,
//! in nats.
//!
//! Gradients flow through the student's mean and standard deviation. A row of equal logits has no standard deviation:
//! it becomes zeros, and gets no gradient. [`standardize`] can be put before any other loss of
//! logits: [`dkd`](crate::terms::dkd), [`ctkd`](crate::terms::ctkd) and [`mlkd`](crate::terms::mlkd) have a key
//! `standardize` for it.
//!
//! Source: S. Sun, W. Ren, J. Li, R. Wang, X. Cao, "Logit Standardization in Knowledge
//! Distillation", CVPR 2024.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::kd::kd;
use crate::terms::unit::widened;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Schedule, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "lskd",
    title: "Knowledge distillation of standardised logits",
    formula: "T² · mean_b Σ_c p_t · (log p_t − log p_s),  p = softmax(z' / T),  \
              z' = (z − mean) / deviation",
    source: "Sun, Ren, Li, Wang, Cao, CVPR 2024",
    needs: "logits of both networks, over the same classes, at least two",
    when: "Instead of kd, when the student cannot reach the size of the teacher's logits: only \
           their pattern is asked for. The paper puts cross_entropy at 0.1 beside it. The key \
           `standardize` of dkd, ctkd and mlkd does the same for these.",
    teacher: true,
    weight: 9.0,
    reads: &[],
};

/// Added to the standard deviation.
const EPSILON: f64 = 1e-7;

/// Rows of logits `[batch, classes]` with mean 0 and unbiased standard deviation 1; a row of equal logits
/// becomes zeros.
///
/// # Errors
/// [`Error::Shape`] when the batch is empty or there are fewer than two classes: one logit has no
/// standard deviation.
pub fn standardize(logits: Tensor<2>) -> Result<Tensor<2>, Error> {
    let shape = logits.dims();
    check::not_empty("standardize", &shape)?;
    let [_, classes] = shape;
    if classes < 2 {
        return Err(Error::Shape {
            loss: "standardize",
            problem: format!("logits of shape {shape:?} have no standard deviation over classes"),
        });
    }
    let centred = logits.clone() - logits.mean_dim(1);
    let variance = centred.clone().square().sum_dim(1) / (classes - 1) as f64;
    let flat = variance.clone().detach().equal_elem(0.0);
    let deviation = variance.mask_fill(flat.clone(), 1.0).sqrt() + EPSILON;
    Ok(centred.mask_fill(flat.expand(shape), 0.0) / deviation)
}

/// [`kd`] of standardised logits, from logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, the batch is empty, or there are fewer than two classes;
/// [`Error::Config`] when `temperature` is not above 0.
pub fn lskd(student: Tensor<2>, teacher: Tensor<2>, temperature: f64) -> Result<Tensor<1>, Error> {
    check::same_shape("lskd", &student, &teacher)?;
    let dtype = student.dtype();
    let student = standardize(widened(student))?;
    let teacher = standardize(widened(teacher.detach()))?;
    Ok(kd(student, teacher, temperature)?.cast(dtype))
}

/// Parameters of [`Lskd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LskdConfig {
    /// Temperature of both softmaxes, above 0, in standard deviations; it may follow a [`Schedule`].
    pub temperature: Schedule,
}

impl Default for LskdConfig {
    fn default() -> Self {
        Self {
            temperature: Schedule::Constant(2.0),
        }
    }
}

impl LskdConfig {
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
    ) -> Result<Lskd, Error> {
        self.temperature.validate_positive("temperature")?;
        check::same_classes("lskd", student, teacher.ok_or(Error::NoTeacher)?)?;
        standardize(student.logits.clone())?;
        Ok(Lskd {
            temperature: self.temperature.clone(),
        })
    }
}

/// The [`lskd`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Lskd {
    #[module(skip)]
    temperature: Schedule,
}

impl Lskd {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`lskd`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        lskd(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            self.temperature.at(step),
        )
    }
}
