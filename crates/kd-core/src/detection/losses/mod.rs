//! What detectors learn from their own objects.

mod focal;
mod giou;
mod multibox;
mod retinanet;
mod roi;
mod rpn;
mod smooth_l1;

pub use focal::sigmoid_focal_loss;
pub use giou::generalized_iou_loss;
pub use multibox::{Mined, Multibox, MultiboxLoss, mine, multibox};
pub use retinanet::retinanet_loss;
pub use roi::{RoiLoss, RoiTargets, roi_loss};
pub use rpn::{RpnLoss, rpn_loss};
pub use smooth_l1::smooth_l1;

use burn::tensor::{Device, Int, Tensor};

/// The two parts of a detector's loss, `[1]` each.
#[derive(Clone, Debug)]
pub struct DetectionLoss {
    /// Of the classes, or of object against background.
    pub classes: Tensor<1>,
    /// Of the boxes.
    pub boxes: Tensor<1>,
}

impl DetectionLoss {
    /// Their sum.
    pub fn total(self) -> Tensor<1> {
        self.classes + self.boxes
    }
}

/// Indices as a tensor.
pub(crate) fn indices(indices: &[usize], device: &Device) -> Tensor<1, Int> {
    let indices: Vec<i64> = indices.iter().map(|i| *i as i64).collect();
    Tensor::from_ints(indices.as_slice(), device)
}
