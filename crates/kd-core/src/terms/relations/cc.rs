//! Correlation congruence: samples correlate in the student as they do in the teacher.
//!
//! With embeddings `[batch, width]` (widths may differ) whose rows `x_i` are divided by their Euclidean
//! norm, let `C[i, j] = k(x_i, x_j)`, `[batch, batch]`:
//!
//! `L = Σ_ij (C_s[i, j] − C_t[i, j])² / batch²`, without a unit, where `kernel` is
//!
//! - `"rbf"`: a Gaussian `exp(−γ ‖x_i − x_j‖²)` by its Taylor series up to an order `P`,
//!   `k = exp(−2γ) · Σ_{p ≤ P} (2γ)^p / p! · (x_i · x_j)^p`;
//! - `"bilinear"`: `k = x_i · x_j`;
//! - `"linear"`: `k = |mean(x_i) − mean(x_j)|`, the distance of the samples' means;
//! - `"consecutive"`: not a congruence but what a widely used reference computes under this name
//!   ([`cc_consecutive`]): with `d_i = |x_{s,i} − x_{t,i}|`, not normalised, the mean over `i` of
//!   `d_i · d_{i+1}`. It depends on the order of the batch and is not what the paper describes; the term
//!   has it to repeat published numbers. The student's embedding goes through a linear layer to the
//!   teacher's width. (The reference trains a layer for the teacher too, which can make everything small.)
//!
//! A row of zeros correlates with nothing.
//!
//! Source: B. Peng, X. Jin, J. Liu, D. Li, Y. Wu, Y. Liu, S. Zhou, Z. Zhang, "Correlation Congruence for
//! Knowledge Distillation", ICCV 2019.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::linear;
use crate::terms::unit::unit;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "cc",
    title: "Correlation congruence",
    formula: "Σ_ij (k(x_si, x_sj) − k(x_ti, x_tj))² / batch²,  k linear, bilinear or Gaussian",
    source: "Peng, Jin, Liu, Li, Wu, Liu, Zhou, Zhang, ICCV 2019",
    needs: "embedding of both networks, of any width; at least two samples a batch",
    when: "Beside kd, when samples of a class should stay together: re-identification, faces, metric \
           learning. Larger batches say more. The weight is for the Gaussian; `consecutive` has 0.02 in its code.",
    teacher: true,
    weight: 100.0,
    reads: &[Part::Embedding],
};

/// How two samples are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CcKernel {
    /// A Gaussian, by its Taylor series.
    #[default]
    Rbf,
    /// The product of two embeddings.
    Bilinear,
    /// The distance of two embeddings' means.
    Linear,
    /// Distances to the teacher of consecutive samples: see [`cc_consecutive`].
    Consecutive,
}

/// Correlation congruence of embeddings `[batch, width]`, whose widths may differ.
///
/// With [`CcKernel::Consecutive`] it is [`cc_consecutive`]. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the batch sizes differ, a width is 0, or the batch has fewer than two samples;
/// [`Error::Config`] when `gamma` or `order` is out of range.
pub fn cc(student: Tensor<2>, teacher: Tensor<2>, config: &CcConfig) -> Result<Tensor<1>, Error> {
    config.validate()?;
    if config.kernel == CcKernel::Consecutive {
        return cc_consecutive(student, teacher);
    }
    check::same_batch_of_pairs("cc", &student, &teacher)?;
    let [student, teacher] = [student, teacher.detach()].map(|x| correlations(unit(x), config));
    Ok((student - teacher).square().mean())
}

/// Correlations of rows of length 1, `[batch, batch]`.
fn correlations(x: Tensor<2>, config: &CcConfig) -> Tensor<2> {
    if config.kernel == CcKernel::Linear {
        let means = x.mean_dim(1);
        return (means.clone() - means.transpose()).abs();
    }
    let products = x.clone().matmul(x.transpose());
    if config.kernel == CcKernel::Bilinear {
        return products;
    }
    let twice = 2.0 * config.gamma;
    // Horner's scheme, from the highest order down; the term of order 0 cancels in a difference.
    let mut series = Tensor::ones_like(&products);
    for order in (1..=config.order).rev() {
        series = products.clone() * series * (twice / order as f64);
        if order > 1 {
            series = series + 1.0;
        }
    }
    series * (-twice).exp()
}

/// Mean over consecutive samples of `d_i · d_{i+1}`, `d = |student − teacher|`, from embeddings
/// `[batch, width]`: the reference code's loss, which depends on the order of the batch.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch has fewer than two samples.
pub fn cc_consecutive(student: Tensor<2>, teacher: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_batch_of_pairs("cc", &student, &teacher)?;
    check::same_shape("cc", &student, &teacher)?;
    let distance = (student - teacher.detach()).abs();
    let [batch, _] = distance.dims();
    let first = distance.clone().narrow(0, 0, batch - 1);
    let second = distance.narrow(0, 1, batch - 1);
    Ok((first * second).sum_dim(1).mean())
}

/// Parameters of [`Cc`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CcConfig {
    /// `"rbf"`, `"bilinear"`, `"linear"`, or `"consecutive"` as a reference code.
    pub kernel: CcKernel,
    /// Width parameter γ of the Gaussian, above 0.
    pub gamma: f64,
    /// Order of the Gaussian's Taylor series, at least 1.
    pub order: usize,
}

impl Default for CcConfig {
    fn default() -> Self {
        Self {
            kernel: CcKernel::Rbf,
            gamma: 0.4,
            order: 2,
        }
    }
}

impl CcConfig {
    /// Builds the term from a dry run of both networks that kept the embedding.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::NoTeacher`], and
    /// [`Error::MissingTap`] when a network has no embedding.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Cc, Error> {
        let [_, to] = teacher.ok_or(Error::NoTeacher)?.embedding()?.dims();
        let [_, from] = student.embedding()?.dims();
        self.validate()?;
        let adapts = self.kernel == CcKernel::Consecutive;
        Ok(Cc {
            config: self.clone(),
            width: from,
            projection: adapts.then(|| linear([from, to], device)),
        })
    }

    fn validate(&self) -> Result<(), Error> {
        check::positive("gamma", self.gamma)?;
        check::above("order", self.order as f64, 0.0)
    }
}

/// The [`cc`] loss of the two networks' embeddings.
#[derive(Module, Debug)]
pub struct Cc {
    #[module(skip)]
    config: CcConfig,
    width: usize,
    projection: Option<Linear>,
}

impl Cc {
    /// The embedding of both networks.
    pub fn taps(&self) -> PairTaps {
        PairTaps::embeddings()
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and as [`cc`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let student = pair.student.embedding()?;
        let teacher = pair.teacher()?.embedding()?;
        let student = match &self.projection {
            Some(projection) => {
                crate::terms::adapter::built_for("cc", "student", self.width, &student.dims())?;
                projection.forward(student)
            }
            None => student,
        };
        cc(student, teacher, &self.config)
    }
}
