//! Divergence of the classes that the teacher finds likeliest, as when only these logits of it are kept.
//!
//! With logits `z` `[batch, classes]`, temperature `T`, `p = softmax(z / T)`, and `K` the `k` likeliest classes of the
//! teacher:
//!
//! - `missing = "zero"`: `L = T² · mean over the batch of Σ_{c ∈ K} q_t[c] · (log q_t[c] − log p_s[c])`, where `q_t` is
//!   `p_t` over `K`, so that it adds up to 1.
//! - `missing = "symmetric_uniform"`: the same of `p_t`, and one more outcome, all other classes together, in both
//!   networks.
//!
//! In nats. With as many classes as `k` both are [`kd`](crate::terms::kd).
//!
//! Source: Arcee AI, DistillKit, 2024; the outcome of all others also in A. Anshumann et al., "Sparse Logit Sampling:
//! Accelerating Knowledge Distillation in LLMs", ACL 2025.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, IndexingUpdateOp, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::kd::kd;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "topk_kl",
    title: "Divergence of the likeliest classes",
    formula: "T² · mean_b Σ_{c ∈ K} q_t · (log q_t − log p_s),  K the teacher's k likeliest classes",
    source: "Arcee AI, DistillKit, 2024",
    needs: "logits of both networks, over the same classes",
    when: "Very many classes, such as words, of which the teacher finds few likely.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// What becomes of the classes that are not among the likeliest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopKMissing {
    /// The teacher's probability of them is 0.
    #[default]
    Zero,
    /// They are one more outcome in both networks.
    SymmetricUniform,
}

/// Parameters of [`TopKKl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TopKKlConfig {
    /// Number of classes that are compared, at least 1.
    pub k: usize,
    /// The others: `zero` or `symmetric_uniform`.
    pub missing: TopKMissing,
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
}

impl Default for TopKKlConfig {
    fn default() -> Self {
        Self {
            k: 16,
            missing: TopKMissing::Zero,
            temperature: 1.0,
        }
    }
}

/// Divergence of the teacher's likeliest classes, from logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when `temperature` is not above 0 or
/// `k` is 0.
pub fn topk_kl(
    student: Tensor<2>,
    teacher: Tensor<2>,
    config: &TopKKlConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("topk_kl", &student, &teacher)?;
    config.validate()?;
    let TopKKlConfig {
        k,
        missing,
        temperature,
    } = *config;
    let [_, classes] = student.dims();
    if k >= classes {
        return kd(student, teacher, temperature);
    }
    let (student, teacher) = (student / temperature, teacher.detach() / temperature);
    let (likeliest, places) = teacher.clone().topk_with_indices(k, 1);
    let log_student = log_softmax(student.clone(), 1).gather(1, places.clone());
    let log_teacher = match missing {
        TopKMissing::Zero => log_softmax(likeliest, 1),
        TopKMissing::SymmetricUniform => log_softmax(teacher.clone(), 1).gather(1, places.clone()),
    };
    let apart = (log_teacher.clone().exp() * (log_teacher - log_student)).sum_dim(1);
    let apart = match missing {
        TopKMissing::Zero => apart,
        TopKMissing::SymmetricUniform => {
            let ones = Tensor::ones(places.dims(), (&teacher.device(), teacher.dtype()));
            let kept = teacher.clone().zeros_like();
            let kept = kept.scatter(1, places, ones, IndexingUpdateOp::Add);
            let kept = kept.greater_elem(0.5);
            let [log_own, log_theirs] = [student, teacher].map(|logits| {
                // All other classes together: what is left of them beside all.
                let others = logits.clone().mask_fill(kept.clone(), -1e4);
                log_sum_exp(others) - log_sum_exp(logits)
            });
            apart + log_theirs.clone().exp() * (log_theirs - log_own)
        }
    };
    Ok(apart.mean() * (temperature * temperature))
}

/// `log Σ_c exp z`, `[batch, 1]`. The shift cancels and needs no gradient.
fn log_sum_exp(logits: Tensor<2>) -> Tensor<2> {
    let largest = logits.clone().detach().max_dim(1);
    (logits - largest.clone()).exp().sum_dim(1).log() + largest
}

impl TopKKlConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when a value is out of range, [`Error::NoTeacher`], and [`Error::Shape`] when the class counts
    /// differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<TopKKl, Error> {
        self.validate()?;
        check::same_classes("topk_kl", student, teacher.ok_or(Error::NoTeacher)?)?;
        Ok(TopKKl {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("temperature", self.temperature)?;
        match self.k {
            0 => Err(Error::Config {
                key: "k".into(),
                value: "0".into(),
                expected: "must be at least 1".into(),
            }),
            _ => Ok(()),
        }
    }
}

/// The [`topk_kl`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct TopKKl {
    #[module(skip)]
    config: TopKKlConfig,
}

impl TopKKl {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`topk_kl`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?.logits.clone();
        topk_kl(pair.student.logits.clone(), teacher, &self.config)
    }
}
