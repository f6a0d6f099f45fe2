//! Cross-entropy with the labels: what a student learns without a teacher.
//!
//! With logits `z` `[batch, classes]`, labels `y` `[batch]`, `log p = log_softmax(z)`, smoothing
//! `ε` and `C` classes:
//!
//! `L = mean over the batch of −(1 − ε) · log p[y] − (ε / C) · Σ_c log p[c]`, in nats.
//!
//! Of rows that are mixed of several classes, with the share `s[c]` of each, `Σ_c s[c] · log p[c]` stands for
//! `log p[y]`.
//!
//! Source of label smoothing: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna,
//! "Rethinking the Inception Architecture for Computer Vision", CVPR 2016.

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "cross_entropy",
    title: "Cross-entropy with label smoothing",
    formula: "mean_b( −(1 − ε) · log p[y] − (ε / C) · Σ_c log p[c] ),  p = softmax(z)",
    source: "label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, CVPR 2016",
    needs: "logits of the student, labels",
    when: "In nearly every objective: it is what ties the student to the labels.",
    teacher: false,
    weight: 1.0,
    reads: &[],
};

/// Mean cross-entropy of logits `[batch, classes]` with class indices `[batch]`, in nats.
///
/// `smoothing` is the share of the target that is spread over all classes; 0 is plain
/// cross-entropy. A label must lie in `0..classes`: this is not checked, because it would make
/// an accelerator wait for the host at every step.
///
/// # Errors
/// [`Error::Shape`] when the labels are not one a row or the batch is empty; [`Error::Config`]
/// when `smoothing` is outside `[0, 1)`.
pub fn cross_entropy(
    logits: Tensor<2>,
    labels: Tensor<1, Int>,
    smoothing: f64,
) -> Result<Tensor<1>, Error> {
    check::labels_fit("cross_entropy", &logits, &labels)?;
    check::fraction("smoothing", smoothing)?;
    let log_p = log_softmax(logits, 1);
    let picked = log_p.clone().gather(1, labels.unsqueeze_dim(1)).mean();
    if smoothing == 0.0 {
        return Ok(picked.neg());
    }
    Ok((picked * (1.0 - smoothing) + log_p.mean() * smoothing).neg())
}

/// Mean cross-entropy of logits `[batch, classes]` with the share of each class in each row, `[batch, classes]`, in
/// nats: what mixup and CutMix train with. `smoothing` is that of [`cross_entropy`], which this is for shares of 0
/// and 1.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty; [`Error::Config`] when `smoothing` is outside
/// `[0, 1)`.
pub fn soft_cross_entropy(
    logits: Tensor<2>,
    shares: Tensor<2>,
    smoothing: f64,
) -> Result<Tensor<1>, Error> {
    let (rows, given) = (logits.dims(), shares.dims());
    if rows != given {
        return Err(Error::Shape {
            loss: "cross_entropy",
            problem: format!("logits of shape {rows:?}, and shares of classes of shape {given:?}"),
        });
    }
    check::not_empty("cross_entropy", &rows)?;
    check::fraction("smoothing", smoothing)?;
    let log_p = log_softmax(logits, 1);
    let known = (log_p.clone() * shares).sum_dim(1).mean();
    Ok((known * (1.0 - smoothing) + log_p.mean() * smoothing).neg())
}

/// Parameters of [`CrossEntropy`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossEntropyConfig {
    /// Share of the target that is spread over all classes, in `[0, 1)`.
    pub smoothing: f64,
}

impl Default for CrossEntropyConfig {
    fn default() -> Self {
        Self { smoothing: 0.0 }
    }
}

impl CrossEntropyConfig {
    /// Builds the term; the dry runs and the device are not needed.
    ///
    /// # Errors
    /// [`Error::Config`] when `smoothing` is outside `[0, 1)`.
    pub fn init(
        &self,
        _student: &Output,
        _teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<CrossEntropy, Error> {
        check::fraction("smoothing", self.smoothing)?;
        Ok(CrossEntropy {
            smoothing: self.smoothing,
        })
    }
}

/// The [`cross_entropy`] of the student's logits with the labels.
#[derive(Module, Debug)]
pub struct CrossEntropy {
    smoothing: f64,
}

impl CrossEntropy {
    /// Logits only.
    pub fn taps(&self) -> PairTaps {
        PairTaps::default()
    }

    /// The loss of one batch, `[1]`, over the rows that may be learned from
    /// ([`Targets::labelled`](crate::Targets::labelled)); 0 where there is none.
    ///
    /// # Errors
    /// As [`cross_entropy`]; of mixed rows, as [`soft_cross_entropy`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let logits = pair.student.logits.clone();
        if let Some(labelled) = &pair.targets.labelled {
            let rows: Tensor<1, Int> = labelled.clone().argwhere().squeeze_dim(1);
            if rows.dims()[0] == 0 {
                // Nothing is to be learned, and the student's graph stays as it is.
                return Ok((logits * 0.0).sum());
            }
            let labels = pair.labels().clone().select(0, rows.clone());
            return cross_entropy(logits.select(0, rows), labels, self.smoothing);
        }
        match &pair.targets.shares {
            None => cross_entropy(logits, pair.labels().clone(), self.smoothing),
            Some(shares) => soft_cross_entropy(logits, shares.clone(), self.smoothing),
        }
    }
}
