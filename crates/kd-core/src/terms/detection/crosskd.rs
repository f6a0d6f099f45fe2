//! CrossKD: the student's features go through the teacher's head, and what it says of them is compared with what it
//! says of its own.
//!
//! It applies to two heads of one kind on grids of one size. The student's features, after some convolutions of its
//! head, get mean and deviation of the teacher's ([`align_scale`]) and go on in the teacher's head; the class logits
//! that come out are compared by [`quality_focal_kd`], the boxes by
//! [`generalized_iou_loss`](crate::detection::losses::generalized_iou_loss).
//!
//! Source: J. Wang, Y. Chen, Z. Zheng, X. Li, M.-M. Cheng, Q. Hou, "CrossKD: Cross-Head Knowledge Distillation for
//! Object Detection", CVPR 2024.

use burn::tensor::Tensor;
use burn::tensor::activation::{log_sigmoid, sigmoid};

use crate::Error;
use crate::terms::check;

/// Added to deviations, as in the authors' code.
const EPSILON: f64 = 1e-6;

/// The student's map `[batch, channels, height, width]` with mean and standard deviation (unbiased, over batch and
/// positions) of each channel of the teacher's. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the channels differ, or there are fewer than two positions in the batch.
pub fn align_scale(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<4>, Error> {
    check::same_channels("crosskd", &student, &teacher)?;
    let [batch, channels, height, width] = student.dims();
    let [other, _, other_height, other_width] = teacher.dims();
    if batch * height * width < 2 || other * other_height * other_width < 2 {
        return Err(Error::Shape {
            loss: "crosskd",
            problem: "a standard deviation needs two positions".into(),
        });
    }
    let rows = |map: Tensor<4>| map.permute([1, 0, 2, 3]).flatten::<2>(1, 3);
    let (student, teacher) = (rows(student), rows(teacher.detach()));
    let standardised =
        (student.clone() - student.clone().mean_dim(1)) / (student.var(1).sqrt() + EPSILON);
    let aligned = standardised * (teacher.clone().var(1).sqrt() + EPSILON) + teacher.mean_dim(1);
    Ok(aligned
        .reshape([channels, batch, height, width])
        .permute([1, 0, 2, 3]))
}

/// Cross-entropy of class logits `[boxes, classes]` with the teacher's sigmoids, weighted by how far apart both are:
/// with `q` and `p` the sigmoids of teacher and student and `w` a weight a box `[boxes]`,
///
/// `L = 1 / (count + 2⁻²³) · Σ_boxes w · Σ_c |p − q|^β · (−q · ln p − (1 − q) · ln(1 − p))`, in nats.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or there is no box; [`Error::Config`] when `beta` or `count` is below 0.
pub fn quality_focal_kd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    weights: Tensor<1>,
    beta: f64,
    count: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("crosskd", &student, &teacher)?;
    check::not_negative("beta", beta)?;
    check::not_negative("count", count)?;
    let [boxes, _] = student.dims();
    if weights.dims() != [boxes] {
        return Err(Error::Shape {
            loss: "crosskd",
            problem: format!("{} weights for {boxes} boxes", weights.dims()[0]),
        });
    }
    let q = sigmoid(teacher.detach());
    let apart = (sigmoid(student.clone()) - q.clone()).abs();
    let yes = q.clone() * log_sigmoid(student.clone());
    let no = (q.neg() + 1.0) * log_sigmoid(student.neg());
    let each = (yes + no).neg() * apart.powf_scalar(beta);
    let weighted = each * weights.unsqueeze_dim(1);
    Ok(weighted.sum() / (count + f64::from(f32::EPSILON)))
}
