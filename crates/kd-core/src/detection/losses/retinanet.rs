//! The loss of RetinaNet: all anchors count, those that are hard most.

use burn::tensor::{Tensor, TensorData};

use super::{DetectionLoss, indices, sigmoid_focal_loss};
use crate::Error;
use crate::detection::{BoxCoder, Corners, Matched, Matcher, Objects, Overlaps};

/// Weight of positives in the focal loss.
const ALPHA: f64 = 0.25;
/// Exponent of the focal loss.
const GAMMA: f64 = 2.0;

/// The loss from logits `[batch, anchors, classes]`, each class a sigmoid of its own, offsets `[batch, anchors, 4]`, the
/// anchors and the objects of each image.
///
/// With `P` the positives of an image ([`Matcher::RETINANET`]), at least 1: the sum of [`sigmoid_focal_loss`] (α = 0.25,
/// γ = 2) over its positives and its background / `P`, and the sum of absolute differences of offsets over its positives
/// / `P`; both are means over images. Class 0 is the background's, of which no anchor is.
///
/// Source: T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection", ICCV 2017; as in
/// torchvision.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, or an object's class is not among the logits'.
pub fn retinanet_loss(
    logits: Tensor<3>,
    offsets: Tensor<3>,
    anchors: &[Corners],
    objects: &[Objects],
) -> Result<DetectionLoss, Error> {
    let [batch, count, classes] = logits.dims();
    let refuse = |problem: String| Error::Shape {
        loss: "retinanet_loss",
        problem,
    };
    if offsets.dims() != [batch, count, 4] || anchors.len() != count || objects.len() != batch {
        return Err(refuse(format!(
            "logits of shape [{batch}, {count}, {classes}], offsets of shape {:?}, {} anchors, and objects of {} images",
            offsets.dims(),
            anchors.len(),
            objects.len()
        )));
    }
    let largest = objects.iter().flat_map(|objects| objects.classes()).max();
    if let Some(largest) = largest.filter(|largest| **largest >= classes) {
        return Err(refuse(format!(
            "an object of class {largest}, and logits for {classes} classes with the background"
        )));
    }
    let rows = batch * count;
    let mut of_classes = vec![0.0_f32; rows * classes];
    let mut weights = vec![0.0; rows];
    let mut positives = Positives::default();
    for (image, objects) in objects.iter().enumerate() {
        let matches = Matcher::RETINANET.matches(&Overlaps::new(objects.boxes(), anchors));
        let found = matches.iter().filter(|m| matches!(m, Matched::Object(_)));
        let share = 1.0 / (found.count().max(1) * batch) as f64;
        for (i, matched) in matches.iter().enumerate() {
            let row = image * count + i;
            match *matched {
                Matched::Between => continue,
                Matched::Background => {}
                Matched::Object(object) => {
                    of_classes[row * classes + objects.classes()[object]] = 1.0;
                    positives.rows.push(row);
                    positives.shares.push(share);
                    positives.boxes.push(objects.boxes()[object]);
                    positives.anchors.push(anchors[i]);
                }
            }
            weights[row] = share;
        }
    }
    let (device, dtype) = (logits.device(), logits.dtype());
    let of_classes = TensorData::new(of_classes, [rows, classes]);
    let of_classes = Tensor::<2>::from_data(of_classes, (&device, dtype));
    let weights = Tensor::<2>::from_data(TensorData::new(weights, [rows, 1]), (&device, dtype));
    let each = sigmoid_focal_loss(logits.reshape([rows, classes]), of_classes, ALPHA, GAMMA)?;
    let boxes = match positives.rows.is_empty() {
        true => offsets.sum() * 0.0,
        false => positives.distance(offsets.reshape([rows, 4]))?,
    };
    Ok(DetectionLoss {
        classes: (each * weights).sum(),
        boxes,
    })
}

/// The anchors of a batch that are at objects.
#[derive(Default)]
struct Positives {
    rows: Vec<usize>,
    shares: Vec<f64>,
    boxes: Vec<Corners>,
    anchors: Vec<Corners>,
}

impl Positives {
    /// The weighted sum of absolute differences of offsets from those that lead to the objects.
    fn distance(&self, offsets: Tensor<2>) -> Result<Tensor<1>, Error> {
        let (device, dtype) = (offsets.device(), offsets.dtype());
        let count = self.rows.len();
        let targets = BoxCoder::RPN.encode(&self.boxes, &self.anchors)?;
        let targets = TensorData::new(targets.concat(), [count, 4]);
        let targets = Tensor::<2>::from_data(targets, (&device, dtype));
        let shares = TensorData::new(self.shares.clone(), [count, 1]);
        let shares = Tensor::<2>::from_data(shares, (&device, dtype));
        let found = offsets.select(0, indices(&self.rows, &device));
        Ok(((found - targets).abs() * shares).sum())
    }
}
