//! Decoupled knowledge distillation: the target class and the rest are weighted apart.
//!
//! With logits `z` `[batch, classes]`, labels `y` and temperature `T`, let `p = softmax(z / T)`,
//! `b = [p[y], 1 − p[y]]`, and `q` the softmax over the classes other than `y`:
//!
//! `L = T² · (α · KL(b_t ‖ b_s) + β · KL(q_t ‖ q_s))`, mean over the batch, in nats.
//!
//! Taking `1 − p[y]` as a sum of probabilities and then its logarithm gives `−∞` once the student
//! is sure of the label. Here the pair `[z[y], log Σ_{c≠y} exp z[c]]` stands for `b` as two logits,
//! so the divergence is that of [`kd`](crate::terms::kd) and finite for every finite logit. With two
//! classes `q` has one entry and its term is 0.
//!
//! With `standardize = true` the logits of both networks are standardised first
//! ([`standardize`]): `DKD + LSKD` of the literature, whose code has `T = 2` and
//! multiplies α and β by 9.
//!
//! Source: B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang, "Decoupled Knowledge Distillation",
//! CVPR 2022. The paper raises the weight linearly over the first 20 epochs: in a recipe,
//! `weight = { schedule = "linear_warmup", to = 1.0, epochs = 20 }`.

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::kd::divergence;
use crate::terms::lskd::standardize;
use crate::terms::unit::widened;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "dkd",
    title: "Decoupled knowledge distillation",
    formula: "T² · (α · KL(b_t ‖ b_s) + β · KL(q_t ‖ q_s)),  b = [p_y, 1 − p_y], \
              q = softmax over the other classes",
    source: "Zhao, Cui, Song, Qiu, Liang, CVPR 2022",
    needs: "logits of both networks, over the same classes; labels",
    when: "When the teacher is so sure of the label that plain KD has little left to teach. \
           β depends on the pair: 8 for wide teachers, 2 for narrow ones. Warm the weight up \
           over 20 epochs.",
    teacher: true,
    weight: 1.0,
    reads: &[],
};

/// Stands for the logit of a class that is left out: `exp` of it is 0, and it is still finite.
const LEFT_OUT: f64 = -1e30;

/// Parameters of [`Dkd`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DkdConfig {
    /// Weight of the divergence of target against rest, at least 0.
    pub alpha: f64,
    /// Weight of the divergence within the rest, at least 0.
    pub beta: f64,
    /// Temperature of both softmaxes, above 0.
    pub temperature: f64,
    /// Whether the logits are standardised first.
    pub standardize: bool,
}

impl Default for DkdConfig {
    fn default() -> Self {
        Self {
            alpha: 1.0,
            beta: 8.0,
            temperature: 4.0,
            standardize: false,
        }
    }
}

/// Decoupled distillation loss of logits `[batch, classes]` with class indices `[batch]`.
///
/// No gradient reaches the teacher. A label must lie in `0..classes` (not checked, see
/// [`cross_entropy`](crate::terms::cross_entropy::cross_entropy)).
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit or the batch is empty; [`Error::Config`] when
/// `temperature` is not above 0 or a weight is below 0. To be standardised, logits need at least two classes.
pub fn dkd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    config: &DkdConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("dkd", &student, &teacher)?;
    check::labels_fit("dkd", &student, &labels)?;
    config.validate()?;
    let dtype = student.dtype();
    let split = |logits: Tensor<2>| -> Result<Split, Error> {
        let logits = if config.standardize {
            standardize(widened(logits))?
        } else {
            widened(logits)
        };
        Ok(Split::new(logits / config.temperature, &labels))
    };
    let (student, teacher) = (split(student)?, split(teacher)?);
    let target = divergence(student.target_or_rest, teacher.target_or_rest) * config.alpha;
    let rest = divergence(student.rest, teacher.rest) * config.beta;
    Ok(((target + rest) * (config.temperature * config.temperature)).cast(dtype))
}

/// Logits taken apart at the label.
struct Split {
    /// Logits of "the label" and of "any other class", `[batch, 2]`.
    target_or_rest: Tensor<2>,
    /// Logits with the label left out, `[batch, classes]`.
    rest: Tensor<2>,
}

impl Split {
    fn new(logits: Tensor<2>, labels: &Tensor<1, Int>) -> Self {
        let labels: Tensor<2, Int> = labels.clone().unsqueeze_dim(1);
        let rest = logits
            .clone()
            .mask_fill(is_label(&logits, &labels), LEFT_OUT);
        let target = logits.gather(1, labels);
        let target_or_rest = Tensor::cat(vec![target, log_sum_exp(rest.clone())], 1);
        Self {
            target_or_rest,
            rest,
        }
    }
}

fn is_label(logits: &Tensor<2>, labels: &Tensor<2, Int>) -> Tensor<2, Bool> {
    let [batch, classes] = logits.dims();
    let every = Tensor::<1, Int>::arange(0..classes as i64, &labels.device());
    every
        .unsqueeze::<2>()
        .expand([batch, classes])
        .equal(labels.clone().expand([batch, classes]))
}

/// `log Σ_c exp z[c]`, `[batch, 1]`. The shift by the maximum cancels, so it needs no gradient.
fn log_sum_exp(logits: Tensor<2>) -> Tensor<2> {
    let max = logits.clone().detach().max_dim(1);
    (logits - max.clone()).exp().sum_dim(1).log() + max
}

impl DkdConfig {
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
    ) -> Result<Dkd, Error> {
        self.validate()?;
        check::same_classes("dkd", student, teacher.ok_or(Error::NoTeacher)?)?;
        if self.standardize {
            standardize(student.logits.clone())?;
        }
        Ok(Dkd {
            config: self.clone(),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        check::not_negative("alpha", self.alpha)?;
        check::not_negative("beta", self.beta)?;
        check::positive("temperature", self.temperature)
    }
}

/// The [`dkd`] loss of the two networks' logits.
#[derive(Module, Debug)]
pub struct Dkd {
    #[module(skip)]
    config: DkdConfig,
}

impl Dkd {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], and as [`dkd`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        dkd(
            pair.student.logits.clone(),
            pair.teacher()?.logits.clone(),
            pair.class()?.clone(),
            &self.config,
        )
    }
}
