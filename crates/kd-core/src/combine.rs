//! Several teachers become one.
//!
//! With `p_k = softmax(z_k / T)` of teacher `k` and weights `w_k` that sum to 1, the combined teacher says
//! `p = Σ w_k p_k`, as logits `z = T · log p`. The gradient of `Σ w_k KL(p_k ‖ q)` with respect to the
//! student's `q` is that of `KL(p ‖ q)`, so one distillation term at the temperature `T` learns from all
//! teachers at once:
//!
//! - `average`: `w_k = 1/K`;
//! - `confidence`: a weight for every sample, smaller where a teacher's cross-entropy `c_k` with the label
//!   is large: `w_k = (1 − exp(c_k) / Σ_j exp(c_j)) / (K − 1)`. For one teacher it is 1.
//!
//! Maps and embeddings of several networks have no common coordinates, so the combined teacher shows
//! logits only. What each of them shows stands beside them in [`Output::members`], for terms that read
//! several teachers ([`camkd`](crate::terms::camkd)).
//!
//! Source: S. You et al., "Learning from Multiple Teacher Networks", KDD 2017 (average); H. Zhang, D. Chen,
//! C. Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", ICASSP 2022 (confidence; the weights
//! of its logit term, those of its features are [`camkd`](crate::terms::camkd)'s).

use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::check::positive;
use crate::{Error, Output};

/// How much each teacher counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CombineRule {
    /// All alike.
    #[default]
    Average,
    /// Each by how well it knows the sample.
    Confidence,
}

/// How several teachers become one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Combine {
    /// How much each teacher counts.
    pub rule: CombineRule,
    /// Temperature at which their probabilities are averaged: that of the term that reads them.
    pub temperature: f64,
}

impl Default for Combine {
    fn default() -> Self {
        Self {
            rule: CombineRule::Average,
            temperature: 4.0,
        }
    }
}

impl Combine {
    /// Checks the values.
    ///
    /// # Errors
    /// [`Error::Config`] for a temperature that is not above 0.
    pub fn validate(&self) -> Result<(), Error> {
        positive("temperature", self.temperature)
    }

    /// The combined teacher of one batch with `labels` `[batch]`: the only one as it is, or the logits
    /// `[batch, classes]` of several, with these as its members.
    ///
    /// # Errors
    /// [`Error::NoTeacher`] when there is none, [`Error::Shape`] when their logits differ in shape.
    pub fn apply(
        &self,
        mut teachers: Vec<Output>,
        labels: &Tensor<1, Int>,
    ) -> Result<Output, Error> {
        let count = teachers.len();
        match count {
            0 => return Err(Error::NoTeacher),
            1 => return Ok(teachers.remove(0)),
            _ => {}
        }
        let shape = teachers[0].logits.dims();
        if let Some(other) = teachers.iter().find(|t| t.logits.dims() != shape) {
            return Err(Error::Shape {
                loss: "combine",
                problem: format!(
                    "one teacher's logits are {shape:?}, another's {:?}",
                    other.logits.dims()
                ),
            });
        }
        let temperature = self.temperature;
        let log_weights = self.log_weights(&teachers, labels);
        // [teachers, batch, classes]
        let logs = teachers
            .iter()
            .map(|teacher| log_softmax(teacher.logits.clone() / temperature, 1))
            .collect();
        let logs = Tensor::stack::<3>(logs, 0) + log_weights.unsqueeze_dim(2);
        let max = logs.clone().max_dim(0);
        let mixed = (logs - max.clone()).exp().sum_dim(0).log() + max;
        let mut combined = Output::new(mixed.squeeze_dim::<2>(0) * temperature);
        // A row counts when it counts for every teacher.
        let masks = teachers
            .iter()
            .filter_map(|teacher| teacher.counted.clone());
        combined.counted = masks.reduce(Tensor::bool_and);
        combined.members = teachers;
        Ok(combined)
    }

    /// Logarithms of the weights, `[teachers, batch]`.
    fn log_weights(&self, teachers: &[Output], labels: &Tensor<1, Int>) -> Tensor<2> {
        let count = teachers.len() as f64;
        let [batch, _] = teachers[0].logits.dims();
        match self.rule {
            CombineRule::Average => {
                let options = (&labels.device(), teachers[0].logits.dtype());
                Tensor::full([teachers.len(), batch], -count.ln(), options)
            }
            CombineRule::Confidence => {
                let cross_entropy = teachers
                    .iter()
                    .map(|teacher| {
                        let logs = log_softmax(teacher.logits.clone(), 1);
                        -logs
                            .gather(1, labels.clone().unsqueeze_dim(1))
                            .squeeze_dim::<1>(1)
                    })
                    .collect();
                let doubt = softmax(Tensor::stack::<2>(cross_entropy, 0), 0);
                // A teacher beside one that is all wrong may have a weight of 0, whose logarithm is not
                // finite: it counts as the smallest number does.
                let weight = (-doubt + 1.0) / (count - 1.0);
                weight.clamp_min(f64::from(f32::MIN_POSITIVE)).log()
            }
        }
    }
}
