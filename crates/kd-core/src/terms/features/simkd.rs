//! Reused teacher classifier: the student's last map is projected onto the teacher's, which the teacher's
//! classifier can then read.
//!
//! A projector (1×1, 3×3 and 1×1 convolutions with half of the teacher's channels in between, each with
//! batch normalisation and a ReLU) turns the student's last map into `F_s`, with the teacher's channels.
//! Of two sizes the larger is averaged down. With the teacher's last map before pooling `F_t`:
//!
//! `L = mean over every element of (F_s − F_t)²`, in the unit of a squared map.
//!
//! **The deployed network** is that of the paper: the student up to its last map, the projector, and the
//! teacher's classifier, as a [`Head`] in the place of the student's own classifier. A run evaluates it,
//! selects its best epoch by it, and saves it; its file names the head, and is read like any other.
//!
//! **What it trains** is the projector and the student up to its last map. The teacher's classifier stays as
//! it is, and the student's own learns nothing from this term. Alone, as in the paper, the term is a whole
//! objective. Other terms beside it, such as `cross_entropy`, read the logits of the student's own
//! classifier, which are not those of the deployed network.
//!
//! The teacher must be finished: networks that learn from each other are refused.
//!
//! The teacher's map is the one whose average its classifier reads ([`Part::Pooled`]): that of the last stage in a
//! ResNet, VGG or ShuffleNetV1, and in a Wide ResNet, MobileNetV2 and ShuffleNetV2 what the last normalisation or
//! convolution makes of it. A network of one's own that shows no such map is read at its last one. A dry run compares
//! the average with the embedding, and a teacher where another layer stands in between is refused.
//!
//! Source: D. Chen, J.-P. Mei, H. Zhang, C. Wang, Y. Feng, C. Chen, "Knowledge Distillation with the Reused
//! Teacher Classifier", CVPR 2022.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::squared_distance;
use serde::{Deserialize, Serialize};

use crate::terms::bottleneck::Bottleneck;
use crate::terms::head::Pooled;
use crate::terms::maps::at_one_size;
use crate::terms::{About, Head, HeadConfig, check};
use crate::{Error, Levels, Output, Pair, PairTaps, Part, Step, Taps};

pub(in crate::terms) const ABOUT: About = About {
    name: "simkd",
    title: "Reused teacher classifier (SimKD)",
    formula: "mean( (F_s − F_t)² ),  F_s: the student's last map through a projector",
    source: "Chen, Mei, Zhang, Wang, Feng, Chen, CVPR 2022",
    needs: "the last feature map of both networks, of the teacher the one that is averaged for its classifier, of any \
            channels and sizes, and that classifier; owns a projector",
    when: "When the student may be larger by the projector: it is evaluated and saved with it and the teacher's \
           classifier, in the place of its own. Alone, as in the paper, or beside other terms, which read its \
           own classifier.",
    teacher: true,
    weight: 1.0,
    reads: &[Part::Maps],
};

/// Mean squared difference of a projected map and the teacher's, both `[batch, channels, height, width]`.
/// No gradient reaches the teacher.
///
/// # Errors
/// [`Error::Shape`] when the shapes differ or the batch is empty.
pub fn simkd(projected: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    check::same_shape("simkd", &projected, &teacher)?;
    // Means by channel first, which are of one size each.
    Ok(squared_distance(projected, teacher).mean())
}

/// Parameters of [`SimKd`]: none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SimKdConfig {}

impl SimKdConfig {
    /// Builds the term and its projector from a dry run of both networks that kept their maps, and the
    /// teacher's embedding and classifier.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`] for what a network does not show, and [`Error::Shape`] when the
    /// teacher's classifier does not read the average of its last map, or knows other classes.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<SimKd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        check::same_classes("simkd", student, teacher)?;
        let level = student.levels(Part::Maps).saturating_sub(1);
        let [_, narrow, ..] = student.map(level)?.dims();
        let Pooled {
            part,
            level: taught,
            classifier,
        } = Pooled::of("simkd", teacher)?;
        let [_, wide, height, width] = teacher.get::<Tensor<4>>(part, taught)?.dims();
        let config = HeadConfig {
            level,
            size: [height, width],
            channels: [narrow, (wide / 2).max(1), wide],
            classes: classifier.weight.dims()[1],
        };
        let projector = Bottleneck::new(config.channels, 0, device);
        Ok(SimKd {
            taught: (part, taught),
            head: Head::new(config, projector, classifier, device),
        })
    }
}

/// The [`simkd`] loss of the two networks' last maps, with the student's projector.
#[derive(Module, Debug)]
pub struct SimKd {
    /// The teacher's map.
    #[module(skip)]
    taught: (Part, usize),
    head: Head,
}

impl SimKd {
    /// The student's last map, and the teacher's before pooling.
    pub fn taps(&self) -> PairTaps {
        let (part, level) = self.taught;
        PairTaps {
            student: self.head.taps(),
            teacher: Taps::levels(part, Levels::one(level)),
        }
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the channels of the
    /// dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let projected = self.head.project(pair.student)?;
        let (part, level) = self.taught;
        let teacher = pair.teacher()?.get(part, level)?;
        let [projected, teacher] = at_one_size(projected, teacher);
        simkd(projected, teacher)
    }

    /// The head that the student is deployed with: the projector, as it is now, and the teacher's
    /// classifier.
    pub fn head(&self) -> &Head {
        &self.head
    }
}
