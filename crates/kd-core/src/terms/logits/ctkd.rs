//! Curriculum temperature: knowledge distillation at a temperature that learns to make the task harder.
//!
//! With logits `z` `[batch, classes]`, `p = softmax(z / T)`, and one trained number `ρ`:
//!
//! `L = T² · mean over the batch of Σ_c p_t[c] · (log p_t[c] − log p_s[c])`,  `T = start + range · sigmoid(ρ)`
//!
//! in nats. The student lowers the loss; on its way to `ρ` the gradient is turned round and multiplied by
//! `λ`, so that the same optimiser step moves the temperature to where the loss is higher. `λ` rises from 0 to
//! `reversal` over the first `ramp` epochs along half a cosine: easy first, then harder. `ρ` starts at 1. This
//! is the authors' global form, with one temperature for all samples.
//!
//! With `standardize = true` the logits of both networks are standardised first
//! ([`standardize`]): `CTKD + LSKD` of the literature.
//!
//! Source: Z. Li, X. Li, L. Yang, B. Zhao, R. Song, L. Luo, J. Li, J. Yang, "Curriculum Temperature for
//! Knowledge Distillation", AAAI 2023.

use burn::module::{Module, Param};
use burn::tensor::activation::{log_softmax, sigmoid};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::lskd::standardize;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "ctkd",
    title: "Curriculum temperature",
    formula: "T² · mean_b Σ_c p_t · (log p_t − log p_s),  T = start + range · sigmoid(ρ), ρ raises the loss",
    source: "Li, Li, Yang, Zhao, Song, Luo, Li, Yang, AAAI 2023",
    needs: "logits of both networks, over the same classes; owns the temperature",
    when: "Instead of kd, to spare a search for the temperature.",
    teacher: true,
    weight: 0.9,
    reads: &[],
};

/// Knowledge distillation at a temperature `[1]` that a gradient reaches, from logits
/// `[batch, classes]`.
///
/// No gradient reaches the teacher's logits. The temperature must be above 0: this is not checked, because
/// it would make an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn ctkd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    temperature: Tensor<1>,
) -> Result<Tensor<1>, Error> {
    check::same_shape("ctkd", &student, &teacher)?;
    let at = temperature.clone().unsqueeze::<2>();
    let log_student = log_softmax(student / at.clone(), 1);
    let log_teacher = log_softmax(teacher.detach() / at, 1);
    let divergence = (log_teacher.clone().exp() * (log_teacher - log_student))
        .sum_dim(1)
        .mean();
    Ok(divergence * temperature.square())
}

/// Parameters of [`Ctkd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CtkdConfig {
    /// Lowest temperature, above 0.
    pub start: f64,
    /// How far above it the temperature can go, above 0.
    pub range: f64,
    /// Largest factor of the reversed gradient, at least 0.
    pub reversal: f64,
    /// Epochs over which the factor rises to it.
    pub ramp: usize,
    /// Whether the logits are standardised first.
    pub standardize: bool,
}

impl Default for CtkdConfig {
    fn default() -> Self {
        Self {
            start: 1.0,
            range: 20.0,
            reversal: 1.0,
            ramp: 10,
            standardize: false,
        }
    }
}

impl CtkdConfig {
    /// Builds the term and its temperature from a dry run of both networks.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and [`Error::Shape`] when the
    /// class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Ctkd, Error> {
        check::same_classes("ctkd", student, teacher.ok_or(Error::NoTeacher)?)?;
        check::positive("start", self.start)?;
        check::positive("range", self.range)?;
        check::not_negative("reversal", self.reversal)?;
        if self.standardize {
            standardize(student.logits.clone())?;
        }
        Ok(Ctkd {
            config: self.clone(),
            rho: Param::from_tensor(Tensor::ones([1], device)),
        })
    }
}

/// The [`ctkd`] loss with its temperature.
#[derive(Module, Debug)]
pub struct Ctkd {
    #[module(skip)]
    config: CtkdConfig,
    rho: Param<Tensor<1>>,
}

impl Ctkd {
    /// Nothing beside the logits.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`ctkd`].
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let rho = reversed(self.rho.val(), self.factor(step));
        let temperature = sigmoid(rho) * self.config.range + self.config.start;
        let logits = [pair.student, pair.teacher()?].map(|network| network.logits.clone());
        let [student, teacher] = if self.config.standardize {
            let [student, teacher] = logits;
            [standardize(student)?, standardize(teacher)?]
        } else {
            logits
        };
        ctkd(student, teacher, temperature)
    }

    /// Factor of the reversed gradient at a step.
    fn factor(&self, step: &Step) -> f64 {
        let progress = step.epoch.min(self.config.ramp) as f64 / self.config.ramp.max(1) as f64;
        let share = match self.config.ramp {
            0 => 1.0,
            _ => 0.5 * (1.0 - (std::f64::consts::PI * progress).cos()),
        };
        self.config.reversal * share
    }
}

/// The same value, whose gradient is multiplied by `−factor`.
fn reversed(x: Tensor<1>, factor: f64) -> Tensor<1> {
    x.clone() * -factor + x.detach() * (1.0 + factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temperature_climbs_as_the_student_descends() {
        let device = Device::flex().autodiff();
        let logits = |values| Output::new(Tensor::from_floats(values, &device));
        let (student, teacher) = (logits([[2.0, 0.5, -1.0]]), logits([[-1.0, 3.0, 0.0]]));
        // A range in which the loss depends on the temperature.
        let config = CtkdConfig {
            range: 3.0,
            ..CtkdConfig::default()
        };
        let term = config.init(&student, Some(&teacher), &device).unwrap();
        let targets = crate::Targets::labels(Tensor::from_ints([0], &device));
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        let slope = |epoch| -> f64 {
            let step = Step {
                epoch,
                epochs: 240,
                index: 0,
            };
            let gradients = term.forward(&pair, &step).unwrap().backward();
            let slope: f32 = term.rho.grad(&gradients).unwrap().into_scalar();
            f64::from(slope)
        };
        // By finite differences, at ρ = 1.
        let value = |rho: f64| -> f64 {
            let temperature = 1.0 + 3.0 / (1.0 + (-rho).exp());
            let [s, t] = [&student, &teacher].map(|network| network.logits.clone());
            let temperature = Tensor::from_floats([temperature as f32], &device);
            f64::from(ctkd(s, t, temperature).unwrap().into_scalar::<f32>())
        };
        let rising = (value(1.1) - value(0.9)) / 0.2;
        assert!(rising.abs() > 1e-3);
        assert!(
            (slope(10) / -rising - 1.0).abs() < 0.02,
            "{} {rising}",
            slope(10)
        );
        assert!((slope(5) / -rising - 0.5).abs() < 0.02);
        assert!((slope(200) / -rising - 1.0).abs() < 0.02);
    }
}
