//! Reused teacher classifier: the student's last map is projected onto the teacher's, which the teacher's
//! classifier can then read.
//!
//! A projector (1×1, 3×3 and 1×1 convolutions with half of the teacher's channels in between, each with
//! batch normalisation and a ReLU) turns the student's last map into `F_s`, with the teacher's channels.
//! Of two sizes the larger is averaged down. With the teacher's last map `F_t`:
//!
//! `L = mean over every element of (F_s − F_t)²`, in the unit of a squared map.
//!
//! **What it trains, and what it does not.** It trains the projector and the student up to its last map,
//! and never the student's own classifier. The paper's network is the student's backbone, the projector
//! and the teacher's classifier; its logits are [`SimKd::logits`], for code of your own that keeps the
//! objective and the teacher's classifier. A run of this toolkit evaluates and saves the student alone,
//! whose classifier has to be trained beside this term by `cross_entropy` or `kd`: that is a student with
//! a SimKD feature loss, not the network of the paper, whose published accuracies it cannot be compared
//! with.
//!
//! The teacher's classifier must read the average of its last map, as that of a ResNet, VGG or
//! ShuffleNetV1 does. In Wide ResNet, MobileNetV2 and ShuffleNetV2 a layer stands in between: a dry run
//! shows it, and they are refused as teachers.
//!
//! Source: D. Chen, J.-P. Mei, H. Zhang, C. Wang, Y. Feng, C. Chen, "Knowledge Distillation with the Reused
//! Teacher Classifier", CVPR 2022.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_kernels::squared_distance;
use serde::{Deserialize, Serialize};

use super::adapter::resize;
use super::bottleneck::Bottleneck;
use super::maps::{LevelPair, at_one_size, average, last_levels, taps};
use super::{About, check};
use crate::{Classifier, Error, Output, Pair, PairTaps, Step};

pub(super) const ABOUT: About = About {
    name: "simkd",
    title: "Reused teacher classifier (SimKD)",
    formula: "mean( (F_s − F_t)² ),  F_s: the student's last map through a projector",
    source: "Chen, Mei, Zhang, Wang, Feng, Chen, CVPR 2022",
    needs: "the last feature map of both networks, of any channels and sizes, and the teacher's classifier; owns \
            a projector",
    when: "When the projector and the teacher's classifier may be part of the deployed network, which needs code of \
           your own. Here the student is saved alone: combine with cross_entropy or kd, which train its \
           classifier.",
    teacher: true,
    weight: 1.0,
};

/// Share of the teacher's largest entry by which its embedding may differ from the average of its last map.
const ROUNDING: f64 = 1e-2;

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
    /// teacher's classifier does not read the average of its last map.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<SimKd, Error> {
        let teacher = teacher.ok_or(Error::NoTeacher)?;
        let level = last_levels("simkd", student, teacher)?;
        let map = teacher.maps.get(level[1])?;
        let [_, wide, height, width] = map.dims();
        let [_, narrow, ..] = student.maps.get(level[0])?.dims();
        let embedding = teacher.embedding()?;
        teacher.classifier()?.forward(embedding.clone())?;
        if !alike(average(map), embedding) {
            return Err(Error::Shape {
                loss: "simkd",
                problem: "the teacher's classifier does not read the average of its last map: another layer \
                          stands in between, so that no projected map could be given to it; choose \
                          another teacher or srrl, which compares what the classifier reads"
                    .into(),
            });
        }
        let inner = (wide / 2).max(1);
        Ok(SimKd {
            level,
            size: [height, width],
            projector: Bottleneck::new([narrow, inner, wide], 0, device),
        })
    }
}

/// Whether two embeddings are the same up to rounding.
fn alike(one: Tensor<2>, other: Tensor<2>) -> bool {
    if one.dims() != other.dims() {
        return false;
    }
    let largest = |x: Tensor<2>| x.abs().max().into_data().iter::<f64>().fold(0.0, f64::max);
    largest(one - other.clone()) <= ROUNDING * largest(other)
}

/// The [`simkd`] loss of the two networks' last maps, with the student's projector.
#[derive(Module, Debug)]
pub struct SimKd {
    #[module(skip)]
    level: LevelPair,
    /// Height and width of the teacher's map.
    #[module(skip)]
    size: [usize; 2],
    projector: Bottleneck,
}

impl SimKd {
    /// The last map of both networks.
    pub fn taps(&self) -> PairTaps {
        taps(&[self.level])
    }

    /// The loss of one batch, `[1]`.
    ///
    /// # Errors
    /// [`Error::NoTeacher`], [`Error::MissingTap`], and [`Error::Shape`] when a map does not have the channels of the
    /// dry run.
    pub fn forward(&self, pair: &Pair, _step: &Step) -> Result<Tensor<1>, Error> {
        let projected = self.project(pair.student)?;
        let teacher = pair.teacher()?.maps.get(self.level[1])?;
        let [projected, teacher] = at_one_size(projected, teacher);
        simkd(projected, teacher)
    }

    /// The logits of the paper's network, `[batch, classes]`: the student's last map through the
    /// projector, its average through the teacher's classifier.
    ///
    /// Of an objective in evaluation mode ([`Module::valid`]) a sample's logits do not depend on its batch.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when the student's last map was not asked for, and [`Error::Shape`] when it does not
    /// have the channels of the dry run or the classifier is not that teacher's.
    pub fn logits(&self, student: &Output, classifier: &Classifier) -> Result<Tensor<2>, Error> {
        classifier.forward(average(self.project(student)?))
    }

    /// The student's last map, no larger than the teacher's, with the teacher's channels.
    fn project(&self, student: &Output) -> Result<Tensor<4>, Error> {
        let map = student.maps.get(self.level[0])?;
        let [_, _, height, width] = map.dims();
        let size = [height.min(self.size[0]), width.min(self.size[1])];
        self.projector.forward("simkd", resize(map, size))
    }
}
