//! The loss that a detector is trained with without a teacher.
//!
//! A network with default boxes, as SSD, has [`multibox`], and one whose classes are sigmoids, as RetinaNet,
//! [`retinanet_loss`]. A network of two stages samples boxes by the objects that it is told, and says the losses of its
//! stages: [`rpn_loss`](crate::detection::losses::rpn_loss) and [`roi_loss`](crate::detection::losses::roi_loss). With `λ`
//! the weight of the boxes:
//!
//! `L = Σ_stages ( classes + λ · boxes )`
//!
//! Source: W. Liu, D. Anguelov, D. Erhan, C. Szegedy, S. Reed, C.-Y. Fu, A. Berg, "SSD: Single Shot MultiBox Detector",
//! ECCV 2016; S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
//! Networks", NeurIPS 2015; T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár, "Focal Loss for Dense Object Detection",
//! ICCV 2017.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::detection::RowScores;
use crate::detection::losses::{self, Multibox, multibox, retinanet_loss};
use crate::terms::{About, check};
use crate::{Error, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "detection_loss",
    title: "A detector's own loss",
    formula: "Σ_stages ( classes + λ · boxes ):  multibox of SSD;  focal loss of RetinaNet;  RPN and RoI losses of Faster R-CNN",
    source: "Liu, Anguelov, Erhan, Szegedy, Reed, Fu, Berg, ECCV 2016; Lin, Goyal, Girshick, He, Dollár, ICCV 2017; Ren, He, \
             Girshick, Sun, NeurIPS 2015",
    needs: "logits and boxes of the student, the objects of each image",
    when: "In every objective of a detector: it is what cross_entropy is to a classifier.",
    teacher: false,
    weight: 1.0,
    reads: &[Part::Boxes],
};

/// Parameters of [`DetectionLoss`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionLossConfig {
    /// Weight of the boxes beside the classes, at least 0.
    pub boxes: f64,
    /// Of a network with default boxes and a softmax: background boxes that count for each positive one of an image, at
    /// least 1.
    pub negatives: usize,
}

impl Default for DetectionLossConfig {
    fn default() -> Self {
        Self {
            boxes: 1.0,
            negatives: Multibox::default().negatives_a_positive,
        }
    }
}

impl DetectionLossConfig {
    /// Builds the term from a dry run of the student.
    ///
    /// # Errors
    /// [`Error::Config`] when a value is out of range, [`Error::MissingTap`] for a student that finds no objects.
    pub fn init(
        &self,
        student: &Output,
        _teacher: Option<&Output>,
        _device: &Device,
    ) -> Result<DetectionLoss, Error> {
        check::not_negative("boxes", self.boxes)?;
        if self.negatives == 0 {
            return Err(Error::Config {
                key: "negatives".into(),
                value: "0".into(),
                expected: "at least 1: without background every box would be an object".into(),
            });
        }
        student.boxes()?;
        Ok(DetectionLoss {
            boxes: self.boxes,
            negatives: self.negatives,
        })
    }
}

/// The loss that a detector is trained with without a teacher.
#[derive(Module, Debug)]
pub struct DetectionLoss {
    boxes: f64,
    negatives: usize,
}

impl DetectionLoss {
    /// The student's offsets.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: Taps::part(Part::Boxes),
            teacher: Taps::none(),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::MissingTap`], [`Error::NoObjects`], [`Error::Shape`] for a network of two stages that was not told the
    /// objects, and as [`multibox`] and [`retinanet_loss`].
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let rows = pair.student.boxes()?;
        let weighed = |loss: losses::DetectionLoss| loss.classes + loss.boxes * self.boxes;
        if rows.references.is_empty() {
            let stages = rows.losses.clone()?.into_iter().map(weighed);
            return stages.reduce(|sum, loss| sum + loss).ok_or(Error::Shape {
                loss: "detection_loss",
                problem: "the network was not told the objects, so it has no losses".into(),
            });
        }
        let objects = pair.objects()?;
        let (batch, boxes) = (objects.len(), rows.references.len());
        let logits = pair.student.logits.clone();
        let offsets: Tensor<2> = pair.student.get(Part::Boxes, 0)?;
        let ([count, classes], [places, _]) = (logits.dims(), offsets.dims());
        if count != batch * boxes || places != count {
            return Err(Error::Shape {
                loss: "detection_loss",
                problem: format!(
                    "{count} rows of logits and {places} of offsets for {boxes} default boxes of {batch} images"
                ),
            });
        }
        let logits = logits.reshape([batch, boxes, classes]);
        let offsets = offsets.reshape([batch, boxes, 4]);
        let references = &rows.references;
        let loss = match rows.scores {
            RowScores::Softmax => {
                let config = Multibox {
                    negatives_a_positive: self.negatives,
                    ..Multibox::default()
                };
                multibox(logits, offsets, references, objects, &config)?.loss
            }
            RowScores::Sigmoid => retinanet_loss(logits, offsets, references, objects)?,
        };
        Ok(weighed(loss))
    }
}
