//! The loss of a region proposal network.

use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Tensor, TensorData};

use super::{DetectionLoss, indices, smooth_l1};
use crate::Error;
use crate::detection::{BoxCoder, Corners, Objects, Sampled};

/// The loss of [`rpn_loss`].
pub type RpnLoss = DetectionLoss;

/// Where smooth L1 turns linear.
const BETA: f64 = 1.0 / 9.0;

/// The loss of proposals from objectness `[batch, anchors]`, offsets `[batch, anchors, 4]`, the anchors, the objects of
/// each image and the anchors of it that count.
///
/// Over all that count: the mean binary cross-entropy of object against background, and the sum of [`smooth_l1`]
/// (β = 1/9) over positives divided by the number of all.
///
/// Source: S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
/// Networks", NeurIPS 2015; as in torchvision.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, or no anchor counts.
pub fn rpn_loss(
    objectness: Tensor<2>,
    offsets: Tensor<3>,
    anchors: &[Corners],
    objects: &[Objects],
    sampled: &[Sampled],
) -> Result<RpnLoss, Error> {
    let [batch, count] = objectness.dims();
    let refuse = |problem: String| Error::Shape {
        loss: "rpn_loss",
        problem,
    };
    let lists = [objects.len(), sampled.len()];
    if offsets.dims() != [batch, count, 4] || anchors.len() != count || lists != [batch; 2] {
        return Err(refuse(format!(
            "objectness of shape [{batch}, {count}], offsets of shape {:?}, {} anchors, and objects and samples of \
             {lists:?} images",
            offsets.dims(),
            anchors.len(),
        )));
    }
    let (mut positives, mut negatives) = (Vec::new(), Vec::new());
    let (mut boxes, mut references) = (Vec::new(), Vec::new());
    for (image, (sampled, objects)) in sampled.iter().zip(objects).enumerate() {
        for (i, object) in &sampled.positives {
            positives.push(image * count + i);
            boxes.push(objects.boxes()[*object]);
            references.push(anchors[*i]);
        }
        negatives.extend(sampled.negatives.iter().map(|i| image * count + i));
    }
    let all = (positives.len() + negatives.len()) as f64;
    if all == 0.0 {
        return Err(refuse("no anchor counts".into()));
    }
    let device = objectness.device();
    let flat: Tensor<1> = objectness.reshape([batch * count]);
    let mut classes = flat.clone().sum() * 0.0;
    if !negatives.is_empty() {
        let rows = flat.clone().select(0, indices(&negatives, &device));
        classes = classes - log_sigmoid(rows.neg()).sum();
    }
    let mut of_boxes = offsets.clone().sum() * 0.0;
    if !positives.is_empty() {
        let rows = indices(&positives, &device);
        classes = classes - log_sigmoid(flat.select(0, rows.clone())).sum();
        let targets = BoxCoder::RPN.encode(&boxes, &references)?;
        let targets = TensorData::new(targets.concat(), [positives.len(), 4]);
        let targets = Tensor::<2>::from_data(targets, (&device, offsets.dtype()));
        let found = offsets.reshape([batch * count, 4]).select(0, rows);
        of_boxes = smooth_l1(found - targets, BETA).sum();
    }
    Ok(DetectionLoss {
        classes: classes / all,
        boxes: of_boxes / all,
    })
}
