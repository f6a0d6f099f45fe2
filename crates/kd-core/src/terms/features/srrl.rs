//! Softmax regression representation learning: the teacher's classifier has to read the student's
//! embedding as it reads the teacher's own.
//!
//! A connector (linear layer without bias, batch normalisation, ReLU) brings the student's features to the
//! teacher's width, `e_s`. With the teacher's embedding `e_t`, its logits `z_t`, and its classifier
//! `C(e) = e · W + b`, which stays as it is:
//!
//! `L = feature · mean( (e_s − e_t)² ) + regression · mean( (C(e_s) − z_t)² )`
//!
//! with means over every element, in the units of a squared feature and a squared logit. The first part
//! matches features, the second says which of their errors matter to the classes. `connect` says what of the
//! student goes through the connector:
//!
//! - `"embedding"`: its embedding, as in the code of the CIFAR-100 results (the SimKD and CTKD repositories).
//!   Every network has one, whatever comes between it and the last map;
//! - `"map"`: its last map, position by position, and `e_s` is the average of the result, as in the authors' code
//!   for ImageNet.
//!
//! The connector trains together with the student and is no part of it.
//!
//! Source: J. Yang, B. Martinez, A. Bulat, G. Tzimiropoulos, "Knowledge Distillation via Softmax Regression
//! Representation Learning", ICLR 2021.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::terms::adapter::Connector;
use crate::terms::maps::average;
use crate::terms::{About, check};
use crate::{Classifier, Error, Levels, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "srrl",
    title: "Softmax regression representation learning",
    formula: "feature · mean( (e_s − e_t)² ) + regression · mean( (C_t(e_s) − z_t)² )",
    source: "Yang, Martinez, Bulat, Tzimiropoulos, ICLR 2021",
    needs: "embedding of both networks, of any width, or the student's last map, the teacher's logits and classifier; \
            owns a connector",
    when: "Networks with the same classes whose embeddings should carry the same meaning. Combine with \
           cross_entropy, which trains the student's own classifier.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Embedding, Part::Classifier],
};

/// Squared errors of embeddings `[batch, width]` and of the logits `[batch, classes]` that the teacher's
/// classifier gives them, weighted by `config`.
///
/// No gradient reaches the teacher: its embedding, its logits, and its classifier.
///
/// # Errors
/// [`Error::Shape`] when the embeddings' shapes differ, the classifier does not fit them or the logits, or the
/// batch is empty; [`Error::Config`] for a weight out of range.
pub fn srrl(
    student: Tensor<2>,
    teacher: Tensor<2>,
    logits: Tensor<2>,
    classifier: &Classifier,
    config: &SrrlConfig,
) -> Result<Tensor<1>, Error> {
    check::same_shape("srrl", &student, &teacher)?;
    config.check()?;
    let regressed = classifier.clone().detach().forward(student.clone())?;
    check::same_shape("srrl", &regressed, &logits)?;
    let feature = (student - teacher.detach()).square().mean();
    let regression = (regressed - logits.detach()).square().mean();
    Ok(feature * config.feature + regression * config.regression)
}

/// What of the student is connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SrrlConnect {
    /// The embedding.
    #[default]
    Embedding,
    /// The last map.
    Map,
}

/// Parameters of [`Srrl`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SrrlConfig {
    /// Weight of the embeddings' difference, at least 0.
    pub feature: f64,
    /// Weight of the difference of what the teacher's classifier says, at least 0.
    pub regression: f64,
    /// `"embedding"` or `"map"`.
    pub connect: SrrlConnect,
}

impl Default for SrrlConfig {
    fn default() -> Self {
        Self {
            feature: 1.0,
            regression: 1.0,
            connect: SrrlConnect::Embedding,
        }
    }
}

impl SrrlConfig {
    /// Builds the term and its connector from a dry run of both networks that kept embeddings, the
    /// student's last map and the teacher's classifier.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] for what a network does not show, [`Error::Config`] for a
    /// weight out of range, and [`Error::Shape`] when the teacher's classifier does not fit its embedding.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Srrl, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        self.check()?;
        let level = student.levels(Part::Maps).saturating_sub(1);
        let narrow = match self.connect {
            SrrlConnect::Embedding => student.embedding()?.dims()[1],
            SrrlConnect::Map => {
                let shape = student.map(level)?.dims();
                check::not_empty("srrl", &shape)?;
                shape[1]
            }
        };
        let embedding = teacher.embedding()?;
        let [_, wide] = embedding.dims();
        teacher.classifier()?.forward(embedding)?;
        Ok(Srrl {
            config: self.clone(),
            level,
            connector: Connector::pointwise([narrow, wide], device),
        })
    }

    fn check(&self) -> Result<(), Error> {
        check::not_negative("feature", self.feature)?;
        check::not_negative("regression", self.regression)?;
        if self.feature == 0.0 && self.regression == 0.0 {
            return Err(Error::Config {
                key: "feature".into(),
                value: "0, and regression = 0".into(),
                expected: "at least one of them must be above 0".into(),
            });
        }
        Ok(())
    }
}

/// The [`srrl`] loss of the two networks' embeddings, with the student's connector.
#[derive(Module, Debug)]
pub struct Srrl {
    #[module(skip)]
    config: SrrlConfig,
    /// The student's last level.
    level: usize,
    connector: Connector,
}

impl Srrl {
    /// The student's embedding or last map, the teacher's embedding, and its classifier.
    pub fn taps(&self) -> PairTaps {
        PairTaps {
            student: match self.config.connect {
                SrrlConnect::Embedding => Taps::part(Part::Embedding),
                SrrlConnect::Map => Taps::levels(Part::Maps, Levels::one(self.level)),
            },
            teacher: Taps::part(Part::Embedding).with(Part::Classifier, Levels::All),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when the student's features do not
    /// have the width of the dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let teacher = pair.teacher()?;
        let features = match self.config.connect {
            SrrlConnect::Embedding => {
                let embedding = pair.student.embedding()?;
                let [batch, width] = embedding.dims();
                embedding.reshape([batch, width, 1, 1])
            }
            SrrlConnect::Map => pair.student.map(self.level)?,
        };
        let connected = self.connector.forward_relu("srrl", features)?;
        srrl(
            average(connected),
            teacher.embedding()?,
            teacher.logits.clone(),
            &teacher.classifier()?,
            &self.config,
        )
    }
}
