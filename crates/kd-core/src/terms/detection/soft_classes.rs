//! Cross-entropy with the teacher's class probabilities, background weighted apart.
//!
//! With logits `[boxes, classes]`, `p` their softmax and weights `w` of 1 but for the background, class 0:
//!
//! `L = mean over boxes of −Σ_c w_c · p_t[c] · log p_s[c]`, in nats.
//!
//! Source: G. Chen, W. Choi, X. Yu, T. Han, M. Chandraker, "Learning Efficient Object Detection Models with Knowledge
//! Distillation", NeurIPS 2017.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_softmax, softmax};

use crate::Error;
use crate::terms::check;

/// Weighted cross-entropy of logits `[boxes, classes]` with the teacher's probabilities; the paper's weight of the
/// background is 1.5.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or there is no box; [`Error::Config`] when the weight is below 0.
pub fn soft_classes(
    student: Tensor<2>,
    teacher: Tensor<2>,
    background: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("soft_classes", &student, &teacher)?;
    check::not_negative("background", background)?;
    let [boxes, _] = student.dims();
    let each = softmax(teacher.detach(), 1) * log_softmax(student, 1);
    let more = each.clone().narrow(1, 0, 1).sum() * (background - 1.0);
    Ok((each.sum() + more) / -(boxes as f64))
}
