//! The loss of the box head of Faster R-CNN.

use burn::tensor::{Tensor, TensorData};

use super::{DetectionLoss, indices, smooth_l1};
use crate::Error;
use crate::detection::{BoxCoder, Corners};
use crate::terms::cross_entropy::cross_entropy;

/// The loss of [`roi_loss`].
pub type RoiLoss = DetectionLoss;

/// Where smooth L1 turns linear.
const BETA: f64 = 1.0 / 9.0;

/// What the sampled proposals are to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoiTargets {
    /// The class of each proposal, 0 for background.
    pub classes: Vec<usize>,
    /// Where each proposal is.
    pub proposals: Vec<Corners>,
    /// The box of its object; of background any box, which is not used.
    pub boxes: Vec<Corners>,
}

/// The loss of a box head from logits `[proposals, classes]` and offsets `[proposals, 4 · classes]`.
///
/// The mean cross-entropy over all proposals, and the sum of [`smooth_l1`] (β = 1/9) over those of an object, of the
/// offsets of its true class, divided by the number of all proposals.
///
/// Source: R. Girshick, "Fast R-CNN", ICCV 2015; as in torchvision.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, a class is not among the logits', or there is no proposal.
pub fn roi_loss(
    logits: Tensor<2>,
    offsets: Tensor<2>,
    targets: &RoiTargets,
    coder: &BoxCoder,
) -> Result<RoiLoss, Error> {
    let [count, classes] = logits.dims();
    let lists = [
        targets.classes.len(),
        targets.proposals.len(),
        targets.boxes.len(),
    ];
    let unknown = targets.classes.iter().any(|class| *class >= classes);
    if offsets.dims() != [count, 4 * classes] || lists != [count; 3] || unknown {
        return Err(Error::Shape {
            loss: "roi_loss",
            problem: format!(
                "logits of shape [{count}, {classes}], offsets of shape {:?}, targets for {lists:?} proposals, and \
                 classes up to {:?}",
                offsets.dims(),
                targets.classes.iter().max()
            ),
        });
    }
    let device = logits.device();
    let loss = cross_entropy(logits, indices(&targets.classes, &device), 0.0)?;
    let positives: Vec<usize> = (0..count).filter(|i| targets.classes[*i] > 0).collect();
    if positives.is_empty() {
        return Ok(DetectionLoss {
            classes: loss,
            boxes: offsets.sum() * 0.0,
        });
    }
    let boxes: Vec<Corners> = positives.iter().map(|i| targets.boxes[*i]).collect();
    let proposals: Vec<Corners> = positives.iter().map(|i| targets.proposals[*i]).collect();
    let wanted = coder.encode(&boxes, &proposals)?;
    let wanted = TensorData::new(wanted.concat(), [positives.len(), 4]);
    let wanted = Tensor::<2>::from_data(wanted, (&device, offsets.dtype()));
    let rows = positives.iter().map(|i| i * classes + targets.classes[*i]);
    let rows: Vec<usize> = rows.collect();
    let found = offsets.reshape([count * classes, 4]);
    let found = found.select(0, indices(&rows, &device));
    Ok(DetectionLoss {
        classes: loss,
        boxes: smooth_l1(found - wanted, BETA).sum() / count as f64,
    })
}
