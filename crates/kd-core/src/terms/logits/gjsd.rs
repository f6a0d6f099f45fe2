//! Generalised Jensen-Shannon divergence: between following the teacher and settling.
//!
//! With logits `z` `[batch, classes]`, temperature `T`, `p = softmax(z / T)` and the mixture
//! `m = β · p_t + (1 − β) · p_s`, through which the gradient flows too:
//!
//! `L = T² · mean over the batch of (β · KL(p_t ‖ m) + (1 − β) · KL(p_s ‖ m)) / s`, in nats.
//!
//! As β nears 0 or 1 the mixture becomes one of the two and the divergence vanishes: divided by
//! `β` it nears [`kd`](crate::terms::kd)'s `KL(p_t ‖ p_s)` at 0, divided by `1 − β` it nears
//! [`reverse_kl`](crate::terms::reverse_kl)'s `KL(p_s ‖ p_t)` at 1. What to make of the ends is a choice:
//!
//! - `scaling = "paper"`: `s = 1`, the formula as published. β lies strictly between 0 and 1, and
//!   near an end the loss and its gradient are small: raise the weight. Some implementations put
//!   the two divergences at exactly 0 and 1, where the formula itself gives 0; here the ends are
//!   refused, so that no step in β is hidden.
//! - `scaling = "continuous"`: `s = β · (1 − β)`. β may be anything in `[0, 1]`, and the ends are the
//!   limits: `kd` at 0, `reverse_kl` at 1. Close to an end, digits are lost to cancellation (about
//!   `10⁻⁷ / β` at single precision): below a thousandth, take the end itself.
//!
//! Source: R. Agarwal, N. Vieillard, Y. Zhou, P. Stanczyk, S. Ramos, M. Geist, O. Bachem,
//! "On-Policy Distillation of Language Models: Learning from Self-Generated Mistakes", ICLR 2024.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::kd::kd;
use crate::terms::reverse_kl::reverse_kl;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "gjsd",
    title: "Generalised Jensen-Shannon divergence",
    formula: "T² · mean_b( β · KL(p_t ‖ m) + (1 − β) · KL(p_s ‖ m) ),  m = β · p_t + (1 − β) · p_s",
    source: "Agarwal, Vieillard, Zhou, Stanczyk, Ramos, Geist, Bachem, ICLR 2024",
    needs: "logits of both networks, over the same classes",
    when: "When kd asks too much of the student and reverse_kl too little: bounded, and β moves \
           between the two. With scaling = \"continuous\", 0 is kd and 1 is reverse_kl.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// What the divergence is divided by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GjsdScaling {
    /// By 1, as published; it vanishes towards both ends of β.
    #[default]
    Paper,
    /// By β(1 − β), so that the ends are the forward and the reverse divergence.
    Continuous,
}

/// Parameters of [`Gjsd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GjsdConfig {
    /// Share of the teacher in the mixture: between 0 and 1, both included when `scaling` is
    /// `"continuous"`.
    pub beta: f64,
    /// `"paper"`, or `"continuous"` up to both ends of β.
    pub scaling: GjsdScaling,
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
}

impl Default for GjsdConfig {
    fn default() -> Self {
        Self {
            beta: 0.5,
            scaling: GjsdScaling::Paper,
            temperature: 1.0,
        }
    }
}

/// Generalised Jensen-Shannon divergence of logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when
/// `temperature` or `beta` is out of range.
pub fn gjsd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    config: &GjsdConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("gjsd", &student, &teacher)?;
    config.validate()?;
    let GjsdConfig {
        beta, temperature, ..
    } = *config;
    if beta == 0.0 {
        return kd(student, teacher, temperature);
    }
    if beta == 1.0 {
        return reverse_kl(student, teacher, temperature);
    }
    let log_student = log_softmax(student / temperature, 1);
    let log_teacher = log_softmax(teacher.detach() / temperature, 1);
    let log_mixture = log_add(
        log_student.clone() + (1.0 - beta).ln(),
        log_teacher.clone() + beta.ln(),
    );
    let teacher = log_teacher.clone().exp() * (log_teacher - log_mixture.clone()) * beta;
    let student = log_student.clone().exp() * (log_student - log_mixture) * (1.0 - beta);
    let divergence = (teacher + student).sum_dim(1).mean();
    let divisor = match config.scaling {
        GjsdScaling::Paper => 1.0,
        GjsdScaling::Continuous => beta * (1.0 - beta),
    };
    Ok(divergence * (temperature * temperature / divisor))
}

/// `log(exp a + exp b)`. The shift by the larger cancels, so it needs no gradient.
fn log_add(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    let larger = a.clone().detach().max_pair(b.clone().detach());
    ((a - larger.clone()).exp() + (b - larger.clone()).exp()).log() + larger
}

impl GjsdConfig {
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
    ) -> Result<Gjsd, Error> {
        self.validate()?;
        check::same_classes("gjsd", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(Gjsd {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        let inside = self.beta > 0.0 && self.beta < 1.0;
        let end = self.beta == 0.0 || self.beta == 1.0;
        let allowed = inside || (end && self.scaling == GjsdScaling::Continuous);
        if !allowed {
            return Err(Error::Config {
                key: "beta".into(),
                value: self.beta.to_string(),
                expected: if end {
                    "the divergence is 0 there; with scaling = \"continuous\", 0 is the \
                             forward and 1 the reverse divergence"
                        .into()
                } else {
                    "must be between 0 and 1".into()
                },
            });
        }
        check::positive("temperature", self.temperature)
    }
}

/// The [`gjsd`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Gjsd {
    #[module(skip)]
    config: GjsdConfig,
}

impl Gjsd {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`gjsd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        gjsd(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            &self.config,
        )
    }
}
