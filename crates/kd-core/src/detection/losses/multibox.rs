//! The loss of SSD: matched default boxes, and the hardest of the others.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};

use super::{DetectionLoss, indices, smooth_l1};
use crate::Error;
use crate::detection::{BoxCoder, Corners, Matched, Objects, Overlaps, match_default_boxes};

/// Parameters of [`multibox`]; the defaults are the paper's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Multibox {
    /// IoU from which on a default box is to find an object.
    pub positive: f64,
    /// Background boxes for each positive of an image.
    pub negatives_a_positive: usize,
    /// How boxes are coded.
    pub coder: BoxCoder,
}

impl Default for Multibox {
    fn default() -> Self {
        Self {
            positive: 0.5,
            negatives_a_positive: 3,
            coder: BoxCoder::SSD,
        }
    }
}

/// The default boxes that count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mined {
    /// Of each image: what each default box is matched to.
    pub matches: Vec<Vec<Matched>>,
    /// Of each image: the background boxes that count, in ascending order.
    pub negatives: Vec<Vec<usize>>,
}

/// The loss with the boxes that it used.
#[derive(Clone, Debug)]
pub struct MultiboxLoss {
    /// The loss.
    pub loss: DetectionLoss,
    /// The boxes.
    pub mined: Mined,
}

/// SSD's loss from logits `[batch, boxes, classes]`, offsets `[batch, boxes, 4]`, default boxes and the objects of
/// each image.
///
/// With `P` the positives of the whole batch, at least 1: the sum of [`smooth_l1`] (β = 1) over positives / `P`, and
/// the sum of cross-entropies over positives and mined negatives / `P`. Of each image those background boxes count
/// that are least sure of it, three for each positive; of equally sure ones the first. An image without objects
/// has no positive, so none of its boxes counts.
///
/// Source: W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu, A. Berg, "SSD: Single Shot MultiBox
/// Detector", ECCV 2016; as in torchvision.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, or an object's class is not among the logits'.
pub fn multibox(
    logits: Tensor<3>,
    offsets: Tensor<3>,
    defaults: &[Corners],
    objects: &[Objects],
    config: &Multibox,
) -> Result<MultiboxLoss, Error> {
    let [batch, boxes, classes] = logits.dims();
    if offsets.dims() != [batch, boxes, 4] {
        return Err(refuse(format!(
            "logits of shape [{batch}, {boxes}, {classes}] and offsets of shape {:?}",
            offsets.dims(),
        )));
    }
    let mined = mine(&logits, defaults, objects, config)?;
    let mut chosen = Chosen::default();
    for (image, (matches, negatives)) in mined.matches.iter().zip(&mined.negatives).enumerate() {
        chosen.add(image * boxes, matches, negatives, &objects[image], defaults);
    }
    let device = logits.device();
    let count = chosen.positives.len().max(1) as f64;
    let rows = indices(&chosen.rows, &device);
    let labels = Tensor::<1, Int>::from_ints(chosen.labels.as_slice(), &device);
    let of_chosen = if chosen.rows.is_empty() {
        // Nothing to find anywhere: the loss is 0, with a gradient of 0.
        logits.sum() * 0.0
    } else {
        let rows_of = logits.reshape([batch * boxes, classes]).select(0, rows);
        log_softmax(rows_of, 1)
            .gather(1, labels.unsqueeze_dim(1))
            .sum()
            .neg()
            / count
    };
    let of_boxes = if chosen.positives.is_empty() {
        offsets.sum() * 0.0
    } else {
        let targets = config.coder.encode(&chosen.boxes, &chosen.references)?;
        let targets = TensorData::new(targets.concat(), [chosen.positives.len(), 4]);
        let targets = Tensor::<2>::from_data(targets, (&device, offsets.dtype()));
        let positives = indices(&chosen.positives, &device);
        let found = offsets.reshape([batch * boxes, 4]).select(0, positives);
        smooth_l1(found - targets, 1.0).sum() / count
    };
    Ok(MultiboxLoss {
        loss: DetectionLoss {
            classes: of_chosen,
            boxes: of_boxes,
        },
        mined,
    })
}

/// The default boxes that count in [`multibox`], from logits `[batch, boxes, classes]`.
///
/// # Errors
/// As [`multibox`].
pub fn mine(
    logits: &Tensor<3>,
    defaults: &[Corners],
    objects: &[Objects],
    config: &Multibox,
) -> Result<Mined, Error> {
    let [batch, boxes, classes] = logits.dims();
    if defaults.len() != boxes || objects.len() != batch {
        return Err(refuse(format!(
            "logits of shape [{batch}, {boxes}, {classes}], {} default boxes, and objects of {} images",
            defaults.len(),
            objects.len()
        )));
    }
    let largest = objects.iter().flat_map(|o| o.classes()).max();
    if let Some(largest) = largest.filter(|largest| **largest >= classes) {
        return Err(refuse(format!(
            "an object of class {largest}, and logits for {classes} classes with the background"
        )));
    }
    let matches: Vec<Vec<Matched>> = objects
        .iter()
        .map(|o| match_default_boxes(&Overlaps::new(o.boxes(), defaults), config.positive))
        .collect();
    let log_p = log_softmax(logits.clone().detach(), 2);
    let background: Vec<f64> = log_p.narrow(2, 0, 1).into_data().iter::<f64>().collect();
    let background = background.chunks(boxes);
    let negatives = matches
        .iter()
        .zip(background)
        .map(|(matches, sure)| hardest(matches, sure, config.negatives_a_positive))
        .collect();
    Ok(Mined { matches, negatives })
}

fn refuse(problem: String) -> Error {
    Error::Shape {
        loss: "multibox",
        problem,
    }
}

/// The background boxes that are least sure of it, in ascending order; `sure` is the logarithm of their probability
/// of background.
fn hardest(matches: &[Matched], sure: &[f64], a_positive: usize) -> Vec<usize> {
    let is_object = |matched: &&Matched| matches!(matched, Matched::Object(_));
    let count = a_positive * matches.iter().filter(is_object).count();
    let mut background: Vec<usize> = (0..matches.len())
        .filter(|i| matches[*i] == Matched::Background)
        .collect();
    background.sort_by(|a, b| sure[*a].total_cmp(&sure[*b]));
    background.truncate(count);
    background.sort_unstable();
    background
}

/// The rows of a batch that count.
#[derive(Default)]
struct Chosen {
    rows: Vec<usize>,
    labels: Vec<i64>,
    positives: Vec<usize>,
    boxes: Vec<Corners>,
    references: Vec<Corners>,
}

impl Chosen {
    fn add(
        &mut self,
        first: usize,
        matches: &[Matched],
        negatives: &[usize],
        objects: &Objects,
        defaults: &[Corners],
    ) {
        for (i, matched) in matches.iter().enumerate() {
            if let Matched::Object(object) = matched {
                self.rows.push(first + i);
                self.labels.push(objects.classes()[*object] as i64);
                self.positives.push(first + i);
                self.boxes.push(objects.boxes()[*object]);
                self.references.push(defaults[i]);
            }
        }
        for i in negatives {
            self.rows.push(first + i);
            self.labels.push(0);
        }
    }
}
