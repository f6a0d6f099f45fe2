//! Generalised intersection over union as a loss.

use burn::tensor::Tensor;

use crate::Error;
use crate::terms::check;

/// Keeps divisions finite, as in torchvision.
const EPSILON: f64 = 1e-7;

/// `1 − (IoU − (c − u) / c)` of each pair of boxes `[boxes, 4]` (x1, y1, x2, y2), with `u` the area of their union and
/// `c` that of the smallest box around both: from 0 to 2, `[boxes]`. It has a gradient where boxes do not meet.
///
/// Source: H. Rezatofighi, N. Tsoi, J. Gwak, A. Sadeghian, I. Reid, S. Savarese, "Generalized Intersection over Union",
/// CVPR 2019.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ, or a box is not four numbers.
pub fn generalized_iou_loss(boxes: Tensor<2>, targets: Tensor<2>) -> Result<Tensor<1>, Error> {
    check::same_shape("generalized_iou_loss", &boxes, &targets)?;
    let [_, four] = boxes.dims();
    if four != 4 {
        return Err(Error::Shape {
            loss: "generalized_iou_loss",
            problem: format!("boxes of {four} numbers"),
        });
    }
    let corners = |boxes: &Tensor<2>| [0, 2].map(|i| boxes.clone().narrow(1, i, 2));
    let ([first, last], [other_first, other_last]) = (corners(&boxes), corners(&targets));
    let sides = |from: Tensor<2>, to: Tensor<2>| (to - from).clamp_min(0.0);
    let shared = product(sides(
        first.clone().max_pair(other_first.clone()),
        last.clone().min_pair(other_last.clone()),
    ));
    let around = product(
        last.clone().max_pair(other_last.clone()) - first.clone().min_pair(other_first.clone()),
    );
    let union = product(last - first) + product(other_last - other_first) - shared.clone();
    let iou = shared / (union.clone() + EPSILON);
    let empty = (around.clone() - union) / (around + EPSILON);
    Ok((iou - empty).neg() + 1.0)
}

/// Width times height.
fn product(sides: Tensor<2>) -> Tensor<1> {
    let [width, height]: [Tensor<1>; 2] =
        [0, 1].map(|i| sides.clone().narrow(1, i, 1).squeeze_dim(1));
    width * height
}
