//! Multi-level logit distillation: predictions agree by sample, across the batch and across classes, at
//! several temperatures.
//!
//! With logits `z` `[batch, classes]` and `p = softmax(z / T)` `[batch, classes]`, the loss is a sum over
//! temperatures `T` of
//!
//! - samples: `T² · mean over the batch of Σ_c p_t[c] · (log p_t[c] − log p_s[c])`, in nats;
//! - the batch: `Σ_ij (G_s[i, j] − G_t[i, j])² / batch`, `G = p pᵀ` `[batch, batch]`;
//! - classes: `Σ_cd (M_s[c, d] − M_t[c, d])² / classes`, `M = pᵀ p` `[classes, classes]`.
//!
//! `mask` can leave out half of the batch, by how sure the teacher is (the largest of its probabilities at
//! `T = 1`): `"uncertain"` keeps the samples up to the median, `"confident"` those from the median on. A sample
//! that is left out takes no part in any of the three, and `batch` counts the others. The published code
//! computes such a mask and multiplies a mean by it, which is a factor and no mask; `"none"` is what its
//! results stand for. It also compares two augmented views, of which a pair has one.
//!
//! Source: Y. Jin, J. Wang, D. Lin, "Multi-Level Logit Distillation", CVPR 2023.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "mlkd",
    title: "Multi-level logit distillation",
    formula: "Σ_T( T² · KL(p_t ‖ p_s) + Σ_ij (p_s·p_sᵀ − p_t·p_tᵀ)² / batch + Σ_cd (p_sᵀ·p_s − p_tᵀ·p_t)² / classes )",
    source: "Jin, Wang, Lin, CVPR 2023",
    needs: "logits of both networks, over the same classes",
    when: "Instead of kd, when logits are all there is and one temperature is not enough. Its code has \
           cross_entropy at 0.1 beside it.",
    teacher: true,
    weight: 0.9,
    reads: &[],
};

/// Which samples of a batch count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MlkdMask {
    /// All.
    #[default]
    None,
    /// Those of which the teacher is no surer than of the median sample.
    Uncertain,
    /// Those of which the teacher is at least as sure as of the median sample.
    Confident,
}

/// Multi-level loss of logits `[batch, classes]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when there is no
/// temperature or one is not above 0.
pub fn mlkd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    config: &MlkdConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("mlkd", &student, &teacher)?;
    config.validate()?;
    let teacher = teacher.detach();
    let kept = kept(teacher.clone(), config.mask);
    let count = kept.clone().sum();
    let classes = student.dims()[1] as f64;
    let mut total: Option<Tensor<1>> = None;
    for &temperature in &config.temperatures {
        let [log_s, log_t] = [&student, &teacher].map(|z| log_softmax(z.clone() / temperature, 1));
        let [p_s, p_t] = [&log_s, &log_t].map(|log| log.clone().exp() * kept.clone());
        let by_sample = (p_t.clone() * (log_t - log_s)).sum_dim(1).sum() / count.clone();
        let across = |p: &Tensor<2>| p.clone().matmul(p.clone().transpose());
        let by_batch = (across(&p_s) - across(&p_t)).square().sum() / count.clone();
        let among = |p: &Tensor<2>| p.clone().transpose().matmul(p.clone());
        let by_class = (among(&p_s) - among(&p_t)).square().sum() / classes;
        let level = by_sample * (temperature * temperature) + by_batch + by_class;
        total = Some(match total {
            None => level,
            Some(sum) => sum + level,
        });
    }
    // There is a temperature, or the configuration would have been refused.
    Ok(total.unwrap_or_else(|| Tensor::zeros([1], &student.device())))
}

/// 1 for samples that count and 0 for others, `[batch, 1]`.
fn kept(teacher: Tensor<2>, mask: MlkdMask) -> Tensor<2> {
    let [batch, _] = teacher.dims();
    let sure: Tensor<1> = softmax(teacher, 1).max_dim(1).squeeze_dim(1);
    let sorted = sure.clone().sort(0);
    let at = |rank: usize| sorted.clone().narrow(0, rank, 1).expand([batch]);
    let kept = match mask {
        MlkdMask::None => return Tensor::ones([batch, 1], (&sure.device(), sure.dtype())),
        MlkdMask::Uncertain => sure.lower_equal(at((batch - 1) / 2)),
        MlkdMask::Confident => sure.greater_equal(at(batch / 2)),
    };
    Tensor::ones([batch, 1], (&sorted.device(), sorted.dtype()))
        .mask_fill(kept.bool_not().unsqueeze_dim(1), 0.0)
}

/// Parameters of [`Mlkd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MlkdConfig {
    /// Temperatures of the softmaxes, at least one, above 0.
    pub temperatures: Vec<f64>,
    /// `"none"`, `"uncertain"` or `"confident"`.
    pub mask: MlkdMask,
}

impl Default for MlkdConfig {
    fn default() -> Self {
        Self {
            temperatures: vec![2.0, 3.0, 4.0, 5.0, 6.0],
            mask: MlkdMask::None,
        }
    }
}

impl MlkdConfig {
    /// Builds the term from a dry run of both networks; the device is not needed.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and [`Error::Shape`] when the
    /// class counts differ.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<Mlkd, Error> {
        check::same_classes("mlkd", student, teacher.ok_or(Error::NoTeacher)?)?;
        self.validate()?;
        Ok(Mlkd {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        if self.temperatures.is_empty() {
            return Err(Error::Config {
                key: "temperatures".into(),
                value: "[]".into(),
                expected: "must hold at least one temperature".into(),
            });
        }
        self.temperatures
            .iter()
            .try_for_each(|temperature| check::positive("temperatures", *temperature))
    }
}

/// The [`mlkd`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Mlkd {
    #[module(skip)]
    config: MlkdConfig,
}

impl Mlkd {
    /// Nothing beside the logits.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`mlkd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?.logits.clone();
        mlkd(pair.student.logits.clone(), teacher, &self.config)
    }
}
