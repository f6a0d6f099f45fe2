//! Multi-level logit distillation: predictions agree by sample, across the batch and across classes, at
//! several temperatures.
//!
//! With logits `z` `[batch, classes]` and `p = softmax(z / T)` `[batch, classes]`, the loss is a sum over
//! temperatures `T` of
//!
//! - `sample` times: `T² · mean over the batch of Σ_c p_t[c] · (log p_t[c] − log p_s[c])`, in nats;
//! - `batch` times: `Σ_ij (G_s[i, j] − G_t[i, j])² / batch`, `G = p pᵀ` `[batch, batch]`;
//! - `class` times: `Σ_cd (M_s[c, d] − M_t[c, d])² / classes`, `M = pᵀ p` `[classes, classes]`.
//!
//! With `standardize = true` the logits of the first part, and only these, are standardised
//! ([`standardize`]), as in the code of "Logit Standardization".
//!
//! # What the published code computes
//!
//! It takes two augmented views of each image, weak and strong, and three weights: 0.9 for each of the levels, and a
//! mask that was meant to leave out half of the samples. The mask multiplies a mean, which makes it a factor of a
//! half. The first part comes once with that factor (weak) and once without (strong), the other two with the
//! factor: [`mlkd_two_views`] is that loss as it stands. Of a single view, which is what the loader of this toolkit
//! gives, it is `0.45 · (3 · sample + 1 · batch + 1 · class)`. So the three weights are 3 : 1 : 1 and the
//! default weight of the term is 0.45; the published cross-entropy is 0.1 for each view, 0.2 for one.
//!
//! `mask` makes a mask of it that does leave out samples, by how sure the teacher is (the largest of its
//! probabilities at `T = 1`): `"uncertain"` keeps the samples up to the median, `"confident"` those from the
//! median on. A sample that is left out takes no part in any of the three, and `batch` counts the others.
//! `"none"` is what the published results stand for.
//!
//! Source: Y. Jin, J. Wang, D. Lin, "Multi-Level Logit Distillation", CVPR 2023. Standardised: S. Sun, W. Ren,
//! J. Li, R. Wang, X. Cao, "Logit Standardization in Knowledge Distillation", CVPR 2024.

use burn::module::Module;
use burn::tensor::activation::{log_softmax, softmax};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::lskd::standardize;
use crate::terms::maps::sum;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "mlkd",
    title: "Multi-level logit distillation",
    formula: "Σ_T( 3 · T² · KL(p_t ‖ p_s) + Σ_ij (p_s·p_sᵀ − p_t·p_tᵀ)² / batch + Σ_cd (p_sᵀ·p_s − p_tᵀ·p_t)² / classes )",
    source: "Jin, Wang, Lin, CVPR 2023",
    needs: "logits of both networks, over the same classes",
    when: "Instead of kd, when logits are all there is and one temperature is not enough. Its code has \
           cross_entropy at 0.1 beside it for each of two views, which is 0.2 for one. With `standardize` that of \
           logit standardisation has ten times the weight, 4.5.",
    teacher: true,
    weight: 0.45,
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
    let level = |temperature: &f64| -> Result<Tensor<1>, Error> {
        let agreement = Agreement::of(&student, &teacher, &kept, *temperature, config.standardize)?;
        Ok(agreement.sample * config.sample
            + agreement.batch * config.batch
            + agreement.class * config.class)
    };
    sum(&student.device(), config.temperatures.iter().map(level))
}

/// The published loss of two views: logits `[batch, classes]` of the weakly and the strongly augmented images, of
/// the student and of the teacher. Its three levels, sample, batch and class, `[1]` each: the published code adds
/// them at 0.9 to a cross-entropy of 0.1 on both views.
///
/// With `m` and `n` the shares of samples and of classes that the published mask would keep (about a half),
/// `T` the temperatures `temperature`, 3, 5, 2 and 6, and the levels `sample`, `batch` and `class` of [`mlkd`]:
///
/// `m · Σ_T sample(weak) + Σ_{first three} sample(strong) + Σ_{2, 6} sample(weak)`, `m · Σ_T batch(weak)` and
/// `n · Σ_T class(weak)`.
///
/// The strong view's last two temperatures read the weak view there, and its batch and class levels are not used.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when `temperature` is not above
/// 0.
pub fn mlkd_two_views(
    [weak, strong]: [Tensor<2>; 2],
    [taught_weak, taught_strong]: [Tensor<2>; 2],
    temperature: f64,
) -> Result<[Tensor<1>; 3], Error> {
    check::same_shape("mlkd", &weak, &taught_weak)?;
    check::same_shape("mlkd", &strong, &taught_strong)?;
    check::same_shape("mlkd", &weak, &strong)?;
    check::positive("temperature", temperature)?;
    let [taught_weak, taught_strong] = [taught_weak, taught_strong].map(Tensor::detach);
    let sure = softmax(taught_weak.clone(), 1);
    let samples = share_to_the_median(sure.clone().max_dim(1).squeeze_dim(1));
    let classes = share_to_the_median(sure.sum_dim(0).squeeze_dim(0));
    let all = kept(taught_weak.clone(), MlkdMask::None);
    let zero = || Tensor::<1>::zeros([1], (&weak.device(), weak.dtype()));
    let mut levels = [zero(), zero(), zero()];
    for (i, t) in [temperature, 3.0, 5.0, 2.0, 6.0].into_iter().enumerate() {
        let of_weak = Agreement::of(&weak, &taught_weak, &all, t, false)?;
        let second = if i < 3 {
            Agreement::of(&strong, &taught_strong, &all, t, false)?.sample
        } else {
            of_weak.sample.clone()
        };
        let [sample, batch, class] = levels;
        levels = [
            sample + of_weak.sample * samples.clone() + second,
            batch + of_weak.batch * samples.clone(),
            class + of_weak.class * classes.clone(),
        ];
    }
    Ok(levels)
}

/// The share of values `[count]` that are at most their median, `[1]`; the median of an even number lies between the
/// middle two.
fn share_to_the_median(values: Tensor<1>) -> Tensor<1> {
    let [count] = values.dims();
    let sorted = values.clone().sort(0);
    let at = |rank: usize| sorted.clone().narrow(0, rank, 1);
    let median = (at((count - 1) / 2) + at(count / 2)) * 0.5;
    let kept = values.lower_equal(median.expand([count]));
    kept.float().cast(sorted.dtype()).mean()
}

/// How far two networks are from agreeing at one temperature, `[1]` each.
struct Agreement {
    sample: Tensor<1>,
    batch: Tensor<1>,
    class: Tensor<1>,
}

impl Agreement {
    /// Of logits `[batch, classes]`, and of each sample whether it counts, `[batch, 1]`.
    fn of(
        student: &Tensor<2>,
        teacher: &Tensor<2>,
        kept: &Tensor<2>,
        temperature: f64,
        standardized: bool,
    ) -> Result<Self, Error> {
        let count = kept.clone().sum();
        let [_, classes] = student.dims();
        let logs = [student, teacher].map(|z| log_softmax(z.clone() / temperature, 1));
        let [log_s, log_t] = if standardized {
            let [student, teacher] = [standardize(student.clone())?, standardize(teacher.clone())?];
            [student, teacher].map(|z| log_softmax(z / temperature, 1))
        } else {
            logs.clone()
        };
        let apart = log_t.clone().exp() * kept.clone() * (log_t - log_s);
        let sample = apart.sum_dim(1).sum() / count.clone() * (temperature * temperature);
        let [p_s, p_t] = logs.map(|log| log.exp() * kept.clone());
        let across = |p: &Tensor<2>| p.clone().matmul(p.clone().transpose());
        let batch = (across(&p_s) - across(&p_t)).square().sum() / count;
        let among = |p: &Tensor<2>| p.clone().transpose().matmul(p.clone());
        let class = (among(&p_s) - among(&p_t)).square().sum() / classes as f64;
        Ok(Self {
            sample,
            batch,
            class,
        })
    }
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
    /// Weight of the agreement by sample, at least 0.
    pub sample: f64,
    /// Weight of the agreement across the batch, at least 0.
    pub batch: f64,
    /// Weight of the agreement across classes, at least 0.
    pub class: f64,
    /// Whether the logits that are compared by sample are standardised first.
    pub standardize: bool,
    /// `"none"`, `"uncertain"` or `"confident"`.
    pub mask: MlkdMask,
}

impl Default for MlkdConfig {
    fn default() -> Self {
        Self {
            temperatures: vec![2.0, 3.0, 4.0, 5.0, 6.0],
            sample: 3.0,
            batch: 1.0,
            class: 1.0,
            standardize: false,
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
        if self.standardize {
            standardize(student.logits.clone())?;
        }
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
        check::not_negative("sample", self.sample)?;
        check::not_negative("batch", self.batch)?;
        check::not_negative("class", self.class)?;
        if [self.sample, self.batch, self.class] == [0.0; 3] {
            return Err(Error::Config {
                key: "sample".into(),
                value: "0, and batch = 0, class = 0".into(),
                expected: "at least one of them must be above 0".into(),
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
