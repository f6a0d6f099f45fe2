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
use burn::tensor::activation::log_softmax;

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

/// Localisation distillation of logits of box edges `[boxes, edges, bins]` in which boxes count by weights `[boxes]`:
/// a sum over boxes and edges instead of the mean, as the authors take it. They divide by 4, the number of edges,
/// weight a box by the student's best class probability, and the whole by 0.25.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// As [`ld`], and [`Error::Shape`] when there are not as many weights as boxes.
pub fn ld_weighted(
    student: Tensor<3>,
    teacher: Tensor<3>,
    weights: Tensor<1>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("ld", &student, &teacher)?;
    check::positive("temperature", temperature)?;
    let [boxes, _, bins] = student.dims();
    if weights.dims() != [boxes] {
        return Err(Error::Shape {
            loss: "ld",
            problem: format!("{} weights for {boxes} boxes", weights.dims()[0]),
        });
    }
    let student = log_softmax(student / temperature, 2);
    let teacher = log_softmax(teacher.detach() / temperature, 2);
    let each = teacher.clone().exp() * (teacher - student);
    let weighted = each * weights.reshape([boxes, 1, 1]);
    Ok(weighted.sum() * (temperature * temperature / bins as f64))
}
