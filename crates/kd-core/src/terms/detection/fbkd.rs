//! Feature-based distillation guided by attention.
//!
//! With maps `[batch, channels, height, width]` of student `s`, its adapted map `a` (in the teacher's channels) and
//! the teacher's `t`, and `A(f) = height · width · softmax over positions of mean_c |f| / T`:
//!
//! `L = √( Σ ½ (A(s) + A(t)) · (a − t)² )`, over the whole batch, so that it grows with the root of its size.
//!
//! Attentions are constants. It is the attention-guided part of the method; the non-local part is not here.
//!
//! Source: L. Zhang, K. Ma, "Improve Object Detection with Feature-based Knowledge Distillation: Towards Accurate and
//! Efficient Detectors", ICLR 2021.

use burn::tensor::Tensor;

use super::fgd::spatial_attention;
use crate::Error;
use crate::terms::check;

/// The attention-guided distance of one level; the authors' weight is 7e-5, their temperature 0.5.
///
/// No gradient reaches the student's own map, which only gives its attention, and none the teacher.
///
/// # Errors
/// [`Error::Shape`] when the adapted map differs from the teacher's in shape, or the student's in batch or size;
/// [`Error::Config`] when `temperature` is not above 0.
pub fn fbkd(
    student: Tensor<4>,
    adapted: Tensor<4>,
    teacher: Tensor<4>,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("fbkd", &adapted, &teacher)?;
    check::positive("temperature", temperature)?;
    let ([batch, _, height, width], of_teacher) = (student.dims(), teacher.dims());
    if [batch, height, width] != [of_teacher[0], of_teacher[2], of_teacher[3]] {
        return Err(Error::Shape {
            loss: "fbkd",
            problem: format!(
                "the student has shape {:?} and the teacher {of_teacher:?}: batch or sizes differ",
                student.dims()
            ),
        });
    }
    let teacher = teacher.detach();
    let attention = spatial_attention(student.detach(), temperature)
        + spatial_attention(teacher.clone(), temperature);
    let squares = (adapted - teacher).square() * (attention * 0.5);
    let sum = squares.sum();
    // A root has no gradient at 0, where nothing is to be learnt.
    let zero = sum.clone().detach().equal_elem(0.0);
    Ok(sum.mask_fill(zero.clone(), 1.0).sqrt().mask_fill(zero, 0.0))
}
