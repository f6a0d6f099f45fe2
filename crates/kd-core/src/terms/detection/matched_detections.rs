//! A teacher's detections stand for objects, with all that it says of them.
//!
//! The student's default boxes are matched to the teacher's proposals as they are matched to objects. A matched box
//! learns the proposal's class probabilities and box; the others learn nothing of it. Proposals are few numbers an
//! image, so they can be kept, and moved with the image when it is flipped or cut.
//!
//! With matched boxes `m`, `p` the probabilities of their proposal (background first) and `d` the difference of the
//! offsets:
//!
//! `classes = T² · mean_m KL(p at T ‖ student at T)`, `boxes = mean_m (1 − p[0]) · Σ smooth-L1(d)`.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};

use crate::Error;
use crate::detection::losses::{DetectionLoss, indices, smooth_l1};
use crate::detection::{BoxCoder, Corners, Matched, Overlaps, match_default_boxes};
use crate::terms::check;

/// What a teacher says of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherDetection {
    /// Where it finds an object.
    pub corners: Corners,
    /// Logits of the classes, the background first.
    pub logits: Vec<f64>,
}

/// The loss of an image from the student's logits `[boxes, classes]` and offsets `[boxes, 4]`; 0 where no box is
/// matched. The student's own matcher matches from an IoU of `positive` on.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, a detection has no width or height, or not a logit a class;
/// [`Error::Config`] when `temperature` is not above 0.
pub fn matched_detections(
    logits: Tensor<2>,
    offsets: Tensor<2>,
    defaults: &[Corners],
    detections: &[TeacherDetection],
    positive: f64,
    temperature: f64,
) -> Result<DetectionLoss, Error> {
    check::positive("temperature", temperature)?;
    let [boxes, classes] = logits.dims();
    let other = detections.iter().find(|d| d.logits.len() != classes);
    if offsets.dims() != [boxes, 4] || defaults.len() != boxes || other.is_some() {
        return Err(Error::Shape {
            loss: "matched_detections",
            problem: format!(
                "logits of shape [{boxes}, {classes}], offsets of shape {:?}, {} default boxes, and a detection of {:?} \
                 classes",
                offsets.dims(),
                defaults.len(),
                other.map(|d| d.logits.len())
            ),
        });
    }
    let corners: Vec<Corners> = detections.iter().map(|d| d.corners).collect();
    let matches = match_default_boxes(&Overlaps::new(&corners, defaults), positive);
    let matched = matches
        .iter()
        .enumerate()
        .filter_map(|(i, matched)| match matched {
            Matched::Object(detection) => Some((i, *detection)),
            _ => None,
        });
    let (rows, found): (Vec<usize>, Vec<usize>) = matched.unzip();
    if rows.is_empty() {
        return Ok(DetectionLoss {
            classes: logits.sum() * 0.0,
            boxes: offsets.sum() * 0.0,
        });
    }
    let options = (&logits.device(), logits.dtype());
    let count = rows.len();
    let said: Vec<f64> = found
        .iter()
        .flat_map(|d| detections[*d].logits.clone())
        .collect();
    let said = Tensor::<2>::from_data(TensorData::new(said, [count, classes]), options);
    let chosen: Vec<Corners> = found.iter().map(|d| corners[*d]).collect();
    let references: Vec<Corners> = rows.iter().map(|row| defaults[*row]).collect();
    let targets = BoxCoder::SSD.encode(&chosen, &references)?;
    let targets = TensorData::new(targets.concat(), [count, 4]);
    let targets = Tensor::<2>::from_data(targets, options);
    let rows = indices(&rows, &logits.device());

    let student = log_softmax(logits.select(0, rows.clone()) / temperature, 1);
    let teacher = log_softmax(said.clone() / temperature, 1);
    let divergence = (teacher.clone().exp() * (teacher - student)).sum();
    let background = log_softmax(said, 1).narrow(1, 0, 1).exp();
    let distance = smooth_l1(offsets.select(0, rows) - targets, 1.0).sum_dim(1);
    Ok(DetectionLoss {
        classes: divergence * (temperature * temperature / count as f64),
        boxes: (distance * (background.neg() + 1.0)).sum() / count as f64,
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    const DEFAULTS: [Corners; 2] = [[0.0, 0.0, 40.0, 40.0], [100.0, 0.0, 140.0, 40.0]];

    fn loss(detections: &[TeacherDetection], logit: f32) -> (f32, f32) {
        let device = Device::flex();
        let logits = Tensor::from_floats([[0.0, logit], [5.0, -5.0]], &device);
        let offsets = Tensor::from_floats([[0.0; 4], [9.0; 4]], &device);
        let found = matched_detections(logits, offsets, &DEFAULTS, detections, 0.5, 2.0).unwrap();
        (found.classes.into_scalar(), found.boxes.into_scalar())
    }

    fn detection(corners: Corners) -> TeacherDetection {
        TeacherDetection {
            corners,
            logits: vec![0.0, 1.0],
        }
    }

    #[test]
    fn only_matched_boxes_learn_and_agreement_costs_nothing() {
        assert_eq!(loss(&[], 1.0), (0.0, 0.0));
        let (classes, boxes) = loss(&[detection(DEFAULTS[0])], 1.0);
        assert!(classes.abs() < 1e-6 && boxes.abs() < 1e-6);
        // Moved by a quarter of the width: ten quarters, of which smooth L1 is 2, times the probability of no background.
        let (classes, boxes) = loss(&[detection([10.0, 0.0, 50.0, 40.0])], -1.0);
        let sure = 1.0 / (1.0 + (-1.0_f32).exp());
        assert!((boxes - 2.0 * sure).abs() < 1e-5, "{boxes}");
        // 4 · (2σ(½) − 1) · ½, the divergence of two mirrored halves.
        let half = 1.0 / (1.0 + (-0.5_f32).exp());
        assert!(
            (classes - 2.0 * (2.0 * half - 1.0)).abs() < 1e-5,
            "{classes}"
        );
    }

    #[test]
    fn a_detection_of_other_classes_is_refused() {
        let device = Device::flex();
        let three = TeacherDetection {
            corners: DEFAULTS[0],
            logits: vec![0.0; 3],
        };
        let refused = matched_detections(
            Tensor::zeros([2, 2], &device),
            Tensor::zeros([2, 4], &device),
            &DEFAULTS,
            &[three],
            0.5,
            2.0,
        );
        assert!(refused.unwrap_err().to_string().contains("Some(3) classes"));
    }
}
