//! Bounded regression: the teacher's boxes are a bound, not a target.
//!
//! With offsets of the student `s`, of the teacher `t` and of the object `y`, `[boxes, 4]`:
//!
//! `L = mean over boxes of smooth-L1(s − y) + ν · L_b`, where `L_b = ‖s − y‖²` of a box that the student finds not
//! better than the teacher by `m` (`‖s − y‖² + m > ‖t − y‖²`), else 0.
//!
//! Source: G. Chen, W. Choi, X. Yu, T. Han, M. Chandraker, "Learning Efficient Object Detection Models with Knowledge
//! Distillation", NeurIPS 2017.

use burn::tensor::Tensor;

use crate::Error;
use crate::detection::losses::smooth_l1;
use crate::terms::check;

/// Bounded regression of offsets `[boxes, 4]` of student, teacher and objects, with the margin `m` and the weight `ν`
/// of the bound.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or there is no box; [`Error::Config`] when the margin or the weight is below
/// 0.
pub fn bounded_regression(
    student: Tensor<2>,
    teacher: Tensor<2>,
    objects: Tensor<2>,
    margin: f64,
    bound: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("bounded_regression", &student, &teacher)?;
    check::same_shape("bounded_regression", &student, &objects)?;
    check::not_negative("margin", margin)?;
    check::not_negative("bound", bound)?;
    let [boxes, _] = student.dims();
    let of_teacher = (teacher.detach() - objects.clone()).square().sum_dim(1);
    let difference = student - objects;
    let of_student = difference.clone().square().sum_dim(1);
    let better = (of_student.clone().detach() + margin).lower_equal(of_teacher);
    let bounded = of_student.mask_fill(better, 0.0);
    Ok((smooth_l1(difference, 1.0).sum() + bounded.sum() * bound) / boxes as f64)
}
