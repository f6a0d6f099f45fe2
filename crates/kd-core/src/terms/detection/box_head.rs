//! A two-stage teacher's box head judges the boxes of a one-stage student.
//!
//! For the boxes that the student's own loss uses:
//! 1. [`student_regions`] are where the student says that they are, cut to the image;
//! 2. the teacher pools its pyramid under these regions and says a class and offsets of each;
//! 3. classes are compared by [`kd`](crate::terms::kd::kd) or [`dkd`](crate::terms::dkd::dkd), both with the background
//!    as class 0;
//! 4. of positives, [`teacher_boxes`] are where the teacher would move the region for its class, and
//!    [`box_distillation`] is the distance of the student's offsets from these.
//!
//! The teacher's probabilities mean something there: its head was trained on boxes of any overlap.
//!
//! Source of the idea of judging the student's own proposals: B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang, "Decoupled
//! Knowledge Distillation", CVPR 2022.

use burn::tensor::{Tensor, TensorData};

use crate::Error;
use crate::detection::losses::smooth_l1;
use crate::detection::{BoxCoder, Corners, clip};
use crate::terms::check;

/// Sides that a region has at least, in pixels.
const LEAST: f64 = 1.0;

/// Where the student says that boxes are, in an image `[height, width]`, from its offsets `[boxes, 4]` and its default
/// boxes: each with its place among the boxes. Regions that leave the image, or are less than a pixel wide or high, are
/// left out. They are constants.
///
/// # Errors
/// [`Error::Shape`] when there are not as many default boxes as offsets.
pub fn student_regions(
    offsets: Tensor<2>,
    defaults: &[Corners],
    image: [f64; 2],
) -> Result<Vec<(usize, Corners)>, Error> {
    let decoded = BoxCoder::SSD.decode(offsets.detach(), defaults)?;
    let regions = of_rows(decoded)
        .into_iter()
        .map(|corners| clip(&corners, image));
    let large = |[x1, y1, x2, y2]: &Corners| x2 - x1 >= LEAST && y2 - y1 >= LEAST;
    Ok(regions
        .enumerate()
        .filter(|(_, corners)| large(corners))
        .collect())
}

/// Where the teacher would move regions of these classes, from its offsets `[regions, 4 · classes]`.
///
/// # Errors
/// [`Error::Shape`] when there are not as many offsets, regions and classes, or a class is not among the offsets'.
pub fn teacher_boxes(
    offsets: Tensor<2>,
    regions: &[Corners],
    classes: &[usize],
) -> Result<Vec<Corners>, Error> {
    let [rows, columns] = offsets.dims();
    let known = columns / 4;
    if classes.len() != rows || classes.iter().any(|class| *class >= known) {
        return Err(Error::Shape {
            loss: "box_head",
            problem: format!(
                "offsets of shape [{rows}, {columns}] for {} regions of classes up to {:?}",
                classes.len(),
                classes.iter().max()
            ),
        });
    }
    let decoded = of_rows(BoxCoder::ROI.decode(offsets.detach(), regions)?);
    let places = classes.iter().enumerate();
    Ok(places
        .map(|(row, class)| decoded[row * known + class])
        .collect())
}

/// The mean over boxes of [`smooth_l1`] (β = 1, summed over the four) of the student's offsets `[boxes, 4]` from those
/// of the teacher's boxes, both from the student's default boxes.
///
/// # Errors
/// [`Error::Shape`] when there are not as many of each, when there is none, or when a box of the teacher's has no width
/// or no height.
pub fn box_distillation(
    offsets: Tensor<2>,
    teacher: &[Corners],
    defaults: &[Corners],
) -> Result<Tensor<1>, Error> {
    let targets = BoxCoder::SSD.encode(teacher, defaults)?;
    let targets = TensorData::new(targets.concat(), [teacher.len(), 4]);
    let targets = Tensor::<2>::from_data(targets, (&offsets.device(), offsets.dtype()));
    check::same_shape("box_distillation", &offsets, &targets)?;
    Ok(smooth_l1(offsets - targets, 1.0).sum() / teacher.len() as f64)
}

fn of_rows(boxes: Tensor<2>) -> Vec<Corners> {
    let values: Vec<f64> = boxes.into_data().iter().collect();
    values.as_chunks::<4>().0.to_vec()
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const DEFAULTS: [Corners; 3] = [
        [0.0, 0.0, 40.0, 40.0],
        [50.0, 50.0, 50.5, 90.0],
        [200.0, 10.0, 240.0, 50.0],
    ];

    #[test]
    fn regions_are_cut_to_the_image_and_slivers_left_out() {
        // The first moves to the left by a quarter of its width; the last lies outside.
        let mut offsets = [[0.0_f32; 4]; 3];
        offsets[0][0] = -2.5;
        let offsets = Tensor::from_floats(offsets, &Device::flex());
        let regions = student_regions(offsets, &DEFAULTS, [100.0, 100.0]).unwrap();
        assert_eq!(regions, [(0, [0.0, 0.0, 30.0, 40.0])]);
    }

    #[test]
    fn a_student_at_the_teachers_box_has_no_loss_and_elsewhere_a_gradient() {
        let device = Device::flex().autodiff();
        let region = [[10.0, 10.0, 30.0, 30.0]];
        // Of two classes; that of class 1 moves by a quarter of the width.
        let said = [[0.0_f32, 0.0, 0.0, 0.0, 2.5, 0.0, 0.0, 0.0]];
        let said = Tensor::from_floats(said, &device);
        let teacher = teacher_boxes(said.clone(), &region, &[1]).unwrap();
        assert_eq!(teacher, [[15.0, 10.0, 35.0, 30.0]]);
        let there = BoxCoder::SSD.encode(&teacher, &DEFAULTS[..1]).unwrap();
        let there: Vec<f32> = there[0].iter().map(|v| *v as f32).collect();
        let loss =
            |offsets: Tensor<2>| box_distillation(offsets, &teacher, &DEFAULTS[..1]).unwrap();
        let there = Tensor::<1>::from_floats(there.as_slice(), &device).reshape([1, 4]);
        assert!(loss(there.clone()).into_scalar::<f32>() < 1e-9);
        let away = (there + 2.0).require_grad();
        let far = loss(away.clone());
        assert!((far.clone().into_scalar::<f32>() - 6.0).abs() < 1e-4);
        let gradient: Vec<f32> = away
            .grad(&far.backward())
            .unwrap()
            .into_data()
            .iter()
            .collect();
        assert_eq!(gradient, [1.0; 4]);
        assert!(teacher_boxes(said, &region, &[2]).is_err());
    }
}
