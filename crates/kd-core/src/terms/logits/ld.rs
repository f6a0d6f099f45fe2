//! Localisation distillation: the student's edges of a box are as (un)certain as the teacher's.
//!
//! With each edge of a box a distribution over `bins` distances, given by its logits
//! `[boxes, edges, bins]`, and `p` their softmax at temperature `T`:
//!
//! `L = T² · mean over boxes, edges and bins of p_t · (log p_t − log p_s)`, in nats a bin.
//!
//! It is a function without a term: which boxes of a detector count is a matter of its assignment, and an
//! [`Output`](crate::Output) has no boxes.
//!
//! Source: Z. Zheng, R. Ye, P. Wang, D. Ren, W. Zuo, Q. Hou, M.-M. Cheng, "Localization Distillation for Dense
//! Object Detection", CVPR 2022.

use burn::tensor::Tensor;

use crate::Error;
use crate::terms::check;
use crate::terms::kd::divergence;

/// Localisation distillation of logits of box edges `[boxes, edges, bins]`.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or there is no box; [`Error::Config`] when `temperature` is
/// not above 0.
pub fn ld(student: Tensor<3>, teacher: Tensor<3>, temperature: f64) -> Result<Tensor<1>, Error> {
    check::same_shape("ld", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let [boxes, edges, bins] = student.dims();
    let [student, teacher] =
        [student, teacher].map(|logits| logits.reshape([boxes * edges, bins]) / temperature);
    Ok(divergence(student, teacher) * (temperature * temperature / bins as f64))
}
