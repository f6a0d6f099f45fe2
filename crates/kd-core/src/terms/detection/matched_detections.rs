//! A teacher's detections stand for objects, with all that it says of them.
//!
//! The student's default boxes are matched to the teacher's regions as they are matched to objects. A matched box
//! learns the region's class probabilities and box; the others learn nothing of it. The regions are those of the
//! teacher's first stage, before any threshold; each lies where its box head would move it for the class of an object
//! that it finds most likely.
//!
//! With matched boxes `m` of all images, `p` the probabilities of their region (background first) and `d` the difference
//! of the offsets:
//!
//! `classes = T² · mean_m KL(p at T ‖ student at T)`, `boxes = mean_m (1 − p[0]) · Σ smooth-L1(d)`.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::box_head::{both_stages, taps_of_both, teacher_boxes, within};
use crate::detection::losses::{DetectionLoss, Multibox, indices, smooth_l1};
use crate::detection::{BoxCoder, Corners, Matched, Overlaps, RegionHead, match_default_boxes};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step};

pub(in crate::terms) const ABOUT: About = About {
    name: "matched_detections",
    title: "The teacher's detections at default boxes",
    formula: "T² · mean_m KL(p_t ‖ p_s at T) + λ · mean_m (1 − p_t of the background) · Σ smooth-L1(offsets_s − offsets of \
              the teacher's box)",
    source: "soft labels of a teacher's regions, in the form of this crate",
    needs: "a student with default boxes, and a teacher with a first stage and a box head",
    when: "As box_head, with the teacher's own regions in the place of the student's boxes: it also finds what nobody has \
           labelled. Combine with detection_loss.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Boxes, Part::Regions],
};

/// Parameters of [`MatchedDetections`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MatchedDetectionsConfig {
    /// Temperature of the classes, above 0.
    pub temperature: f64,
    /// Weight of the boxes beside the classes, at least 0.
    pub boxes: f64,
    /// Regions of an image that take part, the teacher's best first, at least 1.
    pub regions: usize,
}

impl Default for MatchedDetectionsConfig {
    fn default() -> Self {
        Self {
            temperature: 2.0,
            boxes: 0.5,
            regions: 100,
        }
    }
}

impl MatchedDetectionsConfig {
    /// Builds the term from a dry run of both networks that kept everything.
    ///
    /// # Errors
    /// As [`BoxHeadConfig::init`](crate::terms::box_head::BoxHeadConfig::init).
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<MatchedDetections, Error> {
        check::positive("temperature", self.temperature)?;
        check::not_negative("boxes", self.boxes)?;
        check::positive("regions", self.regions as f64)?;
        both_stages(student, teacher)?;
        Ok(MatchedDetections {
            config: self.clone(),
        })
    }
}

/// The teacher's detections stand for objects.
#[derive(Module, Debug)]
pub struct MatchedDetections {
    #[module(skip)]
    config: MatchedDetectionsConfig,
}

impl MatchedDetections {
    /// The student's offsets and the teacher's two stages.
    pub fn taps(&self) -> PairTaps {
        taps_of_both()
    }

    /// The loss of one batch, `[1]`; 0 where no default box is matched.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when classes differ.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let head: Arc<dyn RegionHead> = pair.teacher()?.get(Part::Regions, 0)?;
        let rows = pair.student.boxes()?;
        let batch = pair.student.logits.dims()[0] / rows.references.len().max(1);
        let detections = self.detections(head.as_ref(), batch, rows.image)?;
        let loss = matched_detections(
            pair.student.logits.clone(),
            pair.student.get(Part::Boxes, 0)?,
            &rows.references,
            &detections,
            Multibox::default().positive,
            self.config.temperature,
        )?;
        Ok(loss.classes + loss.boxes * self.config.boxes)
    }

    /// What the teacher says of the best regions of each image `[height, width]`.
    fn detections(
        &self,
        head: &dyn RegionHead,
        batch: usize,
        image: [usize; 2],
    ) -> Result<Vec<Vec<TeacherDetection>>, Error> {
        let mut counts = vec![0usize; batch];
        let mut regions = head.regions()?;
        regions.retain(|region| {
            let count = counts.get_mut(region.image);
            count.is_some_and(|count| {
                *count += 1;
                *count <= self.config.regions
            })
        });
        let mut detections = vec![Vec::new(); batch];
        if regions.is_empty() {
            return Ok(detections);
        }
        let said = head.judge(&regions)?;
        let classes = said.logits.dims()[1];
        let logits: Vec<f64> = said.logits.into_data().iter().collect();
        let logits: Vec<&[f64]> = logits.chunks(classes.max(1)).collect();
        let likeliest = |logits: &&[f64]| {
            let objects = logits.iter().enumerate().skip(1);
            let best = objects.max_by(|a, b| a.1.total_cmp(b.1));
            best.map_or(0, |(class, _)| class)
        };
        let likeliest: Vec<usize> = logits.iter().map(likeliest).collect();
        let corners: Vec<Corners> = regions.iter().map(|region| region.corners).collect();
        let moved = teacher_boxes(said.offsets, &corners, &likeliest)?;
        let size = image.map(|side| side as f64);
        for ((region, moved), logits) in regions.iter().zip(moved).zip(logits) {
            if let Some(corners) = within(&moved, size) {
                detections[region.image].push(TeacherDetection {
                    corners,
                    logits: logits.to_vec(),
                });
            }
        }
        Ok(detections)
    }
}

/// What a teacher says of a region.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherDetection {
    /// Where it finds an object.
    pub corners: Corners,
    /// Logits of the classes, the background first.
    pub logits: Vec<f64>,
}

/// The loss of images from the student's logits `[images · boxes, classes]` and offsets `[images · boxes, 4]`, and from
/// what the teacher finds in each; 0 where no box is matched. The student's own matcher matches from an IoU of `positive`
/// on.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit each other, a detection has no width or height, or not a logit a class;
/// [`Error::Config`] when `temperature` is not above 0.
pub fn matched_detections(
    logits: Tensor<2>,
    offsets: Tensor<2>,
    defaults: &[Corners],
    detections: &[Vec<TeacherDetection>],
    positive: f64,
    temperature: f64,
) -> Result<DetectionLoss, Error> {
    check::positive("temperature", temperature)?;
    let [all, classes] = logits.dims();
    let mut found = detections.iter().flatten();
    let other = found.find(|d| d.logits.len() != classes);
    if offsets.dims() != [all, 4] || all != detections.len() * defaults.len() || other.is_some() {
        return Err(Error::Shape {
            loss: "matched_detections",
            problem: format!(
                "logits of shape [{all}, {classes}], offsets of shape {:?}, {} default boxes of {} images, and a detection of \
                 {:?} classes",
                offsets.dims(),
                defaults.len(),
                detections.len(),
                other.map(|d| d.logits.len())
            ),
        });
    }
    let mut rows = Vec::new();
    let mut matched: Vec<&TeacherDetection> = Vec::new();
    let mut references = Vec::new();
    for (image, detections) in detections.iter().enumerate() {
        let corners: Vec<Corners> = detections.iter().map(|d| d.corners).collect();
        let matches = match_default_boxes(&Overlaps::new(&corners, defaults), positive);
        for (at, found) in matches.iter().enumerate() {
            if let Matched::Object(detection) = found {
                rows.push(image * defaults.len() + at);
                matched.push(&detections[*detection]);
                references.push(defaults[at]);
            }
        }
    }
    if rows.is_empty() {
        return Ok(DetectionLoss {
            classes: logits.sum() * 0.0,
            boxes: offsets.sum() * 0.0,
        });
    }
    let options = (&logits.device(), logits.dtype());
    let count = rows.len();
    let said: Vec<f64> = matched.iter().flat_map(|d| d.logits.clone()).collect();
    let said = Tensor::<2>::from_data(TensorData::new(said, [count, classes]), options);
    let chosen: Vec<Corners> = matched.iter().map(|d| d.corners).collect();
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

    fn loss(detections: Vec<TeacherDetection>, logit: f32) -> (f32, f32) {
        let device = Device::flex();
        let logits = Tensor::from_floats([[0.0, logit], [5.0, -5.0]], &device);
        let offsets = Tensor::from_floats([[0.0; 4], [9.0; 4]], &device);
        let images = [detections];
        let found = matched_detections(logits, offsets, &DEFAULTS, &images, 0.5, 2.0).unwrap();
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
        assert_eq!(loss(Vec::new(), 1.0), (0.0, 0.0));
        let (classes, boxes) = loss(vec![detection(DEFAULTS[0])], 1.0);
        assert!(classes.abs() < 1e-6 && boxes.abs() < 1e-6);
        // Moved by a quarter of the width: ten quarters, of which smooth L1 is 2, times the probability of no background.
        let (classes, boxes) = loss(vec![detection([10.0, 0.0, 50.0, 40.0])], -1.0);
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
            &[vec![three]],
            0.5,
            2.0,
        );
        assert!(refused.unwrap_err().to_string().contains("Some(3) classes"));
    }
}
