//! CrossKD: the student's features go through the teacher's head, and what it says of them is compared with what it
//! says of its own.
//!
//! Both heads are stacks of convolutions of one width over a pyramid. What the student's convolution of the number
//! `layer` gives, before its ReLU, gets mean and deviation of the teacher's ([`align_scale`]), map by map, and goes on in
//! the teacher's head, which does not learn. Of the rows that come out, with `w` 1 for anchors that are at an object
//! or background and 0 between, `n` the number of positives (at least one an image), and `p` the teacher's sigmoids:
//!
//! `L = λ_c · QFL(crossed, teacher; w) / n + λ_b · Σ_boxes w · max_c p · GIoU loss(crossed box, teacher's box) / n`,
//!
//! with [`quality_focal_kd`] and [`generalized_iou_loss`]. Class 0 is left out: the authors' heads have no background.
//!
//! Source: J. Wang, Y. Chen, Z. Zheng, X. Li, M.-M. Cheng, Q. Hou, "CrossKD: Cross-Head Knowledge Distillation for
//! Object Detection", CVPR 2024.

use burn::module::Module;
use burn::tensor::activation::{log_sigmoid, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use crate::detection::losses::generalized_iou_loss;
use crate::detection::{BoxCoder, DenseHead, HeadBranch, Matched, Matcher, Overlaps};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "crosskd",
    title: "Cross-head distillation",
    formula: "λ_c · Σ w |p − q|^β BCE(p, q) / n + λ_b · Σ w · max_c q · (1 − GIoU(b_p, b_q)) / n: of the teacher's head on \
              the student's features (p, b_p) and on its own (q, b_q)",
    source: "Wang, Chen, Zheng, Li, Cheng, Hou, CVPR 2024",
    needs: "two detectors with heads of convolutions over a pyramid, of one width and one list of anchors (RetinaNet), and \
            the objects of each image",
    when: "Two dense detectors of one kind: the labels' loss and the teacher's no longer pull at the same outputs. Combine \
           with detection_loss.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Boxes, Part::DenseHead],
};

/// Added to deviations, as in the authors' code.
const EPSILON: f64 = 1e-6;

/// Parameters of [`CrossKd`]; the defaults are the authors' for RetinaNet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CrossKdConfig {
    /// The convolution of both heads behind which the student's features cross over, from 1 to all but the last.
    pub layer: usize,
    /// Exponent `β` of the difference of probabilities, at least 0.
    pub beta: f64,
    /// Weight `λ_c` of the classes, at least 0.
    pub classes: f64,
    /// Weight `λ_b` of the boxes, at least 0.
    pub boxes: f64,
}

impl Default for CrossKdConfig {
    fn default() -> Self {
        Self {
            layer: 3,
            beta: 1.0,
            classes: 1.0,
            boxes: 1.0,
        }
    }
}

impl CrossKdConfig {
    /// Builds the term from a dry run of both networks that kept everything.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::Config`] when a value is out of range, [`Error::MissingTap`] for a network without
    /// such a head, and [`Error::Shape`] when the heads differ in width, maps or classes.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<CrossKd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        for (key, value) in [
            ("beta", self.beta),
            ("classes", self.classes),
            ("boxes", self.boxes),
        ] {
            check::not_negative(key, value)?;
        }
        let [own, theirs] = [student, teacher].map(|network| network.get(Part::DenseHead, 0));
        let (own, theirs): (DenseHead, DenseHead) = (own?, theirs?);
        let layers = [&own, &theirs].map(|head| head.classes.hidden.len());
        let most = layers[0].min(layers[1]);
        if self.layer == 0 || self.layer > most {
            return Err(Error::Config {
                key: "layer".into(),
                value: self.layer.to_string(),
                expected: format!("1 to {most}, the convolutions of the heads before their last"),
            });
        }
        for (own, theirs) in [(&own.classes, &theirs.classes), (&own.boxes, &theirs.boxes)] {
            let dims = |branch: &HeadBranch| {
                let maps = branch.hidden[self.layer - 1].iter();
                maps.map(Tensor::dims).collect::<Vec<[usize; 4]>>()
            };
            let rows = |branch: &HeadBranch| {
                let last = branch.layers.last();
                last.map(|(weight, _)| [weight.dims()[0], branch.row])
            };
            if dims(own) != dims(theirs) || rows(own) != rows(theirs) {
                return Err(Error::Shape {
                    loss: "crosskd",
                    problem: format!(
                        "the student's head has maps of shape {:?} and the teacher's {:?}: both need one width, one list of \
                         anchors and the same classes",
                        dims(own),
                        dims(theirs)
                    ),
                });
            }
        }
        Ok(CrossKd {
            config: self.clone(),
        })
    }
}

/// The teacher's head on the student's features.
#[derive(Module, Debug)]
pub struct CrossKd {
    #[module(skip)]
    config: CrossKdConfig,
}

impl CrossKd {
    /// Both heads, and the teacher's offsets.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: Taps::part(Part::DenseHead),
            teacher: Taps::part(Part::DenseHead).union(Taps::part(Part::Boxes)),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], [`Error::NoObjects`], and [`Error::Shape`] for other maps than those
    /// of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let (teacher, objects) = (pair.teacher()?, pair.objects()?);
        let own: DenseHead = pair.student.get(Part::DenseHead, 0)?;
        let theirs: DenseHead = teacher.get(Part::DenseHead, 0)?;
        let references = &pair.student.boxes()?.references;
        let crossed = self.crossed(&own.classes, &theirs.classes)?;
        let moved = self.crossed(&own.boxes, &theirs.boxes)?;
        let [batch, boxes, classes] = crossed.dims();
        let (logits, offsets) = (
            teacher.logits.clone().detach(),
            teacher.get(Part::Boxes, 0)?,
        );
        let offsets: Tensor<2> = Tensor::detach(offsets);
        let [rows, _] = logits.dims();
        if rows != batch * boxes || boxes != references.len() || objects.len() != batch {
            return Err(Error::Shape {
                loss: "crosskd",
                problem: format!(
                    "{rows} rows of the teacher, {boxes} of the student's in each of {batch} images, {} anchors",
                    references.len()
                ),
            });
        }
        let (mut weights, mut count) = (Vec::with_capacity(rows), 0);
        for objects in objects {
            let matches = Matcher::RETINANET.matches(&Overlaps::new(objects.boxes(), references));
            let positives = matches.iter().filter(|m| matches!(m, Matched::Object(_)));
            count += positives.count().max(1);
            weights.extend(matches.iter().map(|m| f64::from(*m != Matched::Between)));
        }
        let weights = TensorData::new(weights, [rows]);
        let weights = Tensor::<1>::from_data(weights, (&logits.device(), logits.dtype()));
        let count = count as f64;
        let things = |logits: Tensor<2>| logits.narrow(1, 1, classes - 1);
        let logits = things(logits);
        let of_classes = quality_focal_kd(
            things(crossed.reshape([rows, classes])),
            logits.clone(),
            weights.clone(),
            self.config.beta,
            count,
        )?;
        let corners = |offsets: Tensor<3>| -> Result<Tensor<2>, Error> {
            let corners = BoxCoder::RPN.decode_images(offsets, references)?;
            Ok(corners.reshape([rows, 4]))
        };
        let apart = generalized_iou_loss(
            corners(moved)?,
            corners(offsets.reshape([batch, boxes, 4]))?,
        )?;
        let sure = sigmoid(logits.max_dim(1)).squeeze_dim::<1>(1) * weights;
        let of_boxes = (apart * sure).sum() / (count + f64::from(f32::EPSILON));
        Ok(of_classes * self.config.classes + of_boxes * self.config.boxes)
    }

    /// What the teacher's branch says of the student's features, `[batch, boxes, row]`.
    fn crossed(&self, own: &HeadBranch, theirs: &HeadBranch) -> Result<Tensor<3>, Error> {
        let layer = self.config.layer;
        let maps = own.hidden[layer - 1].iter().zip(&theirs.hidden[layer - 1]);
        let rows = maps.map(|(own, of_teacher)| {
            let aligned = align_scale(own.clone(), of_teacher.clone())?;
            Ok(theirs.behind(layer, aligned))
        });
        Ok(Tensor::cat(rows.collect::<Result<_, Error>>()?, 1))
    }
}

/// The student's map `[batch, channels, height, width]` with mean and standard deviation (unbiased, over batch and
/// positions) of each channel of the teacher's. No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the channels differ, or there are fewer than two positions in the batch.
pub fn align_scale(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<4>, Error> {
    check::same_channels("crosskd", &student, &teacher)?;
    let [batch, channels, height, width] = student.dims();
    let [other, _, other_height, other_width] = teacher.dims();
    if batch * height * width < 2 || other * other_height * other_width < 2 {
        return Err(Error::Shape {
            loss: "crosskd",
            problem: "a standard deviation needs two positions".into(),
        });
    }
    let rows = |map: Tensor<4>| map.permute([1, 0, 2, 3]).flatten::<2>(1, 3);
    let (student, teacher) = (rows(student), rows(teacher.detach()));
    let standardised =
        (student.clone() - student.clone().mean_dim(1)) / (student.var(1).sqrt() + EPSILON);
    let aligned = standardised * teacher.clone().var(1).sqrt() + teacher.mean_dim(1);
    Ok(aligned
        .reshape([channels, batch, height, width])
        .permute([1, 0, 2, 3]))
}

/// Cross-entropy of class logits `[boxes, classes]` with the teacher's sigmoids, weighted by how far apart both are:
/// with `q` and `p` the sigmoids of teacher and student and `w` a weight a box `[boxes]`,
///
/// `L = 1 / (count + 2⁻²³) · Σ_boxes w · Σ_c |p − q|^β · (−q · ln p − (1 − q) · ln(1 − p))`, in nats.
///
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or there is no box; [`Error::Config`] when `beta` or `count` is below 0.
pub fn quality_focal_kd(
    student: Tensor<2>,
    teacher: Tensor<2>,
    weights: Tensor<1>,
    beta: f64,
    count: f64,
) -> Result<Tensor<1>, Error> {
    check::same_shape("crosskd", &student, &teacher)?;
    check::not_negative("beta", beta)?;
    check::not_negative("count", count)?;
    let [boxes, _] = student.dims();
    if weights.dims() != [boxes] {
        return Err(Error::Shape {
            loss: "crosskd",
            problem: format!("{} weights for {boxes} boxes", weights.dims()[0]),
        });
    }
    let q = sigmoid(teacher.detach());
    let apart = (sigmoid(student.clone()) - q.clone()).abs();
    let yes = q.clone() * log_sigmoid(student.clone());
    let no = (q.neg() + 1.0) * log_sigmoid(student.neg());
    let each = (yes + no).neg() * apart.powf_scalar(beta);
    let weighted = each * weights.unsqueeze_dim(1);
    Ok(weighted.sum() / (count + f64::from(f32::EPSILON)))
}
