//! A two-stage teacher's box head judges the boxes of a one-stage student.
//!
//! For the boxes that the student's own loss uses:
//! 1. [`student_regions`] are where the student says that they are, cut to the image;
//! 2. the teacher pools its pyramid under these regions and says a class and offsets of each;
//! 3. classes are compared by [`kd`] or [`dkd`], both with the background as class 0;
//! 4. of positives, [`teacher_boxes`] are where the teacher would move the region for its class, and
//!    [`box_distillation`] is the distance of the student's offsets from these.
//!
//! The teacher's probabilities mean something there: its head was trained on boxes of any overlap.
//!
//! Source of the idea of judging the student's own proposals: B. Zhao, Q. Cui, R. Song, Y. Qiu, J. Liang, "Decoupled
//! Knowledge Distillation", CVPR 2022.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::detection::losses::{Multibox, indices, mine, smooth_l1};
use crate::detection::{BoxCoder, Corners, Matched, RegionHead, RegionOfInterest, RowScores, clip};
use crate::terms::dkd::{DkdConfig, dkd};
use crate::terms::kd::kd;
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "box_head",
    title: "The teacher's box head at the student's boxes",
    formula: "T² · mean_b KL(p_t ‖ p_s at T), or DKD of them, + λ · mean_positives Σ smooth-L1(offsets_s − offsets of the teacher's box)",
    source: "after Zhao, Cui, Song, Qiu, Liang, CVPR 2022",
    needs: "a student with default boxes, a teacher with a box head, and the objects of each image",
    when: "A two-stage teacher and a one-stage student, whose heads have nothing else in common. Combine with \
           detection_loss.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Boxes, Part::Regions],
};

/// Parameters of [`BoxHead`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BoxHeadConfig {
    /// Temperature of the classes, above 0.
    pub temperature: f64,
    /// Weight of the boxes beside the classes, at least 0.
    pub boxes: f64,
    /// How classes are compared.
    pub form: ClassForm,
    /// Weight of the class against the rest in [`dkd`], at least 0.
    pub alpha: f64,
    /// Weight of the rest in [`dkd`], at least 0; the authors' for detectors.
    pub beta: f64,
    /// Epochs in which the teacher judges the default boxes themselves: at the start the student's are anywhere.
    pub at_default_boxes: usize,
}

impl Default for BoxHeadConfig {
    fn default() -> Self {
        Self {
            temperature: 2.0,
            boxes: 0.5,
            form: ClassForm::Kd,
            alpha: 1.0,
            beta: 0.25,
            at_default_boxes: 1,
        }
    }
}

/// How the classes of boxes are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassForm {
    /// By [`kd`].
    #[default]
    Kd,
    /// By [`dkd`]: a box's own class, the background too, apart from the others.
    Dkd,
}

impl BoxHeadConfig {
    /// Builds the term from a dry run of both networks that kept everything.
    ///
    /// # Errors
    /// [`Error::Config`] when a value is out of range, [`Error::NoTeacher`], and [`Error::MissingTap`] for a student
    /// without default boxes or a teacher without a box head.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<BoxHead, Error> {
        check::positive("temperature", self.temperature)?;
        let weights = [
            ("boxes", self.boxes),
            ("alpha", self.alpha),
            ("beta", self.beta),
        ];
        for (key, weight) in weights {
            check::not_negative(key, weight)?;
        }
        both_stages(student, teacher)?;
        Ok(BoxHead {
            config: self.clone(),
        })
    }
}

/// Refuses a student without default boxes or without a softmax, and a teacher without a box head.
pub(super) fn both_stages(student: &Output, teacher: Option<&Output>) -> Result<(), Error> {
    let teacher = teacher.ok_or(Error::NoTeacher)?;
    teacher.get::<Arc<dyn RegionHead>>(Part::Regions, 0)?;
    let rows = student.boxes()?;
    let lacks = match (rows.references.is_empty(), rows.scores) {
        (true, _) => "default boxes of the student (it chooses its boxes itself)",
        (_, RowScores::Sigmoid) => "softmax of the student (each of its classes is a sigmoid)",
        _ => return Ok(()),
    };
    Err(Error::MissingTap { what: lacks.into() })
}

/// The teacher's box head judges the student's boxes.
#[derive(Module, Debug)]
pub struct BoxHead {
    #[module(skip)]
    config: BoxHeadConfig,
}

impl BoxHead {
    /// The student's offsets and the teacher's box head.
    pub fn taps(&self) -> PairTaps {
        taps_of_both()
    }

    /// The loss of one batch, `[1]`; 0 where the student's own loss uses no box.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], [`Error::NoObjects`], and [`Error::Shape`] when classes differ.
    pub fn forward(&self, pair: &Pair, step: &Step) -> Result<Tensor<1>, Error> {
        let (student, objects) = (pair.student, pair.objects()?);
        let head: Arc<dyn RegionHead> = pair.teacher()?.get(Part::Regions, 0)?;
        let rows = student.boxes()?;
        let offsets: Tensor<2> = student.get(Part::Boxes, 0)?;
        let logits = student.logits.clone();
        let ([_, classes], boxes) = (logits.dims(), rows.references.len());
        let batch = objects.len();
        if logits.dims()[0] != batch * boxes || offsets.dims() != [batch * boxes, 4] {
            return Err(Error::Shape {
                loss: "box_head",
                problem: format!(
                    "logits of shape {:?} and offsets of shape {:?} for {boxes} default boxes of {batch} images",
                    logits.dims(),
                    offsets.dims()
                ),
            });
        }
        let of_images = logits.clone().reshape([batch, boxes, classes]);
        let mined = mine(&of_images, &rows.references, objects, &Multibox::default())?;

        let mut asked = Asked::default();
        let defaults = step.epoch <= self.config.at_default_boxes;
        let size = rows.image.map(|side| side as f64);
        for (image, (matches, negatives)) in mined.matches.iter().zip(&mined.negatives).enumerate()
        {
            let class = |i: usize| match matches[i] {
                Matched::Object(object) => objects[image].classes()[object],
                _ => 0,
            };
            let positives = (0..boxes).filter(|i| class(*i) > 0);
            let chosen: Vec<usize> = positives.chain(negatives.iter().copied()).collect();
            if chosen.is_empty() {
                continue;
            }
            let references: Vec<Corners> = chosen.iter().map(|i| rows.references[*i]).collect();
            let places: Vec<usize> = chosen.iter().map(|i| image * boxes + i).collect();
            let own = offsets
                .clone()
                .select(0, indices(&places, &offsets.device()));
            let own = match defaults {
                true => own.zeros_like(),
                false => own,
            };
            for (at, corners) in student_regions(own, &references, size)? {
                asked.regions.push(RegionOfInterest { image, corners });
                asked.rows.push(places[at]);
                asked.classes.push(class(chosen[at]));
                asked.references.push(references[at]);
            }
        }
        if asked.rows.is_empty() {
            return Ok(logits.sum() * 0.0);
        }
        let said = head.judge(&asked.regions)?;
        let lift = |tensor: Tensor<2>| match logits.device().is_autodiff() {
            true => Tensor::from_inner(tensor),
            false => tensor,
        };
        let device = logits.device();
        let at_rows = logits.clone().select(0, indices(&asked.rows, &device));
        let loss = self.of_classes(at_rows, lift(said.logits), &asked.classes)?;
        let positives: Vec<usize> = (0..asked.rows.len())
            .filter(|i| asked.classes[*i] > 0)
            .collect();
        if positives.is_empty() || self.config.boxes == 0.0 {
            return Ok(loss);
        }
        let of = |list: &[usize]| -> Vec<usize> { positives.iter().map(|i| list[*i]).collect() };
        let (rows, classes) = (of(&asked.rows), of(&asked.classes));
        let regions: Vec<Corners> = positives
            .iter()
            .map(|i| asked.regions[*i].corners)
            .collect();
        let references: Vec<Corners> = positives.iter().map(|i| asked.references[*i]).collect();
        let of_teacher = said.offsets.device();
        let said = said.offsets.select(0, indices(&positives, &of_teacher));
        let wanted = teacher_boxes(said, &regions, &classes)?;
        let own = offsets.select(0, indices(&rows, &device));
        Ok(loss + box_distillation(own, &wanted, &references)? * self.config.boxes)
    }

    fn of_classes(
        &self,
        student: Tensor<2>,
        teacher: Tensor<2>,
        classes: &[usize],
    ) -> Result<Tensor<1>, Error> {
        let BoxHeadConfig {
            temperature,
            alpha,
            beta,
            ..
        } = self.config;
        match self.config.form {
            ClassForm::Kd => kd(student, teacher, temperature),
            ClassForm::Dkd => {
                let labels = indices(classes, &student.device());
                let config = DkdConfig {
                    alpha,
                    beta,
                    temperature,
                    standardize: false,
                };
                dkd(student, teacher, labels, &config)
            }
        }
    }
}

/// The student's boxes that the teacher judges.
#[derive(Default)]
struct Asked {
    regions: Vec<RegionOfInterest>,
    /// Their rows of the student's output.
    rows: Vec<usize>,
    /// Their classes, 0 for background.
    classes: Vec<usize>,
    /// Their default boxes.
    references: Vec<Corners>,
}

/// Sides that a region has at least, in pixels.
const LEAST: f64 = 1.0;

/// A box cut to an image `[height, width]`; none where less than a pixel of a side is left.
pub(super) fn within(corners: &Corners, image: [f64; 2]) -> Option<Corners> {
    let [x1, y1, x2, y2] = clip(corners, image);
    (x2 - x1 >= LEAST && y2 - y1 >= LEAST).then_some([x1, y1, x2, y2])
}

/// The student's default boxes and offsets, and the teacher's stages.
pub(super) fn taps_of_both() -> PairTaps {
    PairTaps {
        student: Taps::part(Part::Boxes),
        teacher: Taps::part(Part::Regions),
    }
}

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
    let boxes = of_rows(decoded).into_iter().enumerate();
    Ok(boxes
        .filter_map(|(place, corners)| Some((place, within(&corners, image)?)))
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
