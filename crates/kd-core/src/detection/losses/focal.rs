//! Focal loss: cross-entropy in which what is already right counts little.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};

use crate::Error;
use crate::terms::check;

/// Focal loss of each class of each box, from logits and targets of 0 and 1, both `[boxes, classes]`; in nats.
///
/// With `p_t` the probability of what is true: `−α_t (1 − p_t)^γ ln p_t`, `α_t` being `alpha` of a positive and
/// `1 − alpha` of a negative.
///
/// Source: T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ.
pub fn sigmoid_focal_loss(
    logits: Tensor<2>,
    targets: Tensor<2>,
    alpha: f64,
    gamma: f64,
) -> Result<Tensor<2>, Error> {
    if logits.dims() != targets.dims() {
        return Err(Error::Shape {
            loss: "sigmoid_focal_loss",
            problem: format!(
                "logits of shape {:?} and targets of shape {:?}",
                logits.dims(),
                targets.dims()
            ),
        });
    }
    check::not_negative("gamma", gamma)?;
    check::share("alpha", alpha)?;
    // With z turned round where the target is 0, p_t = sigmoid(z) in both cases.
    let sign = targets.clone() * 2.0 - 1.0;
    let z = logits * sign.clone();
    let weight = sign * (alpha - 0.5) + 0.5;
    Ok(weight * sigmoid(z.clone().neg()).powf_scalar(gamma) * log_sigmoid(z).neg())
}
