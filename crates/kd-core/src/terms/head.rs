//! What SimKD puts in the place of a student's classifier: a projector and the teacher's classifier.

use burn::module::{Module, Param};
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::adapter::resize;
use super::bottleneck::Bottleneck;
use super::check;
use super::maps::average;
use crate::{Classifier, Error, Levels, Output, Part, Taps};

/// Share of the teacher's largest entry by which its embedding may differ from the average of its last map.
const ROUNDING: f64 = 1e-2;

/// The map whose average a teacher's classifier reads, and that classifier.
pub(super) struct Pooled {
    /// Where the map stands: [`Part::Pooled`], or the last of the maps in a network that does not show it.
    pub part: Part,
    pub level: usize,
    pub classifier: Classifier,
}

impl Pooled {
    /// Of a teacher of which a dry run kept everything.
    ///
    /// # Errors
    /// [`Error::MissingTap`] for what the teacher does not show, and [`Error::Shape`] when its classifier reads
    /// something else than the average of that map.
    pub fn of(loss: &'static str, teacher: &Output) -> Result<Self, Error> {
        let (part, level) = match teacher.levels(Part::Pooled) {
            0 => (Part::Maps, teacher.levels(Part::Maps).saturating_sub(1)),
            _ => (Part::Pooled, 0),
        };
        let map: Tensor<4> = teacher.get(part, level)?;
        check::not_empty(loss, &map.dims())?;
        let embedding = teacher.embedding()?;
        let classifier = teacher.classifier()?;
        classifier.forward(embedding.clone())?;
        if !alike(average(map), embedding) {
            return Err(Error::Shape {
                loss,
                problem: format!(
                    "the teacher's classifier does not read the average of its {}: another layer \
                     stands in between, so that no projected map could be given to it; let the network show \
                     the map that it averages (`Part::Pooled`), choose another teacher, or srrl, which compares \
                     what the classifier reads",
                    match part {
                        Part::Pooled => "map before pooling",
                        _ => "last map",
                    }
                ),
            });
        }
        Ok(Self {
            part,
            level,
            classifier,
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

/// The shape of a [`Head`]: what it is beside its numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeadConfig {
    /// Level of the map that it reads.
    pub level: usize,
    /// Height and width that a larger map is averaged down to.
    pub size: [usize; 2],
    /// Channels of the map that it reads, inside the projector, and of what the classifier reads.
    pub channels: [usize; 3],
    /// Classes.
    pub classes: usize,
}

impl HeadConfig {
    /// A head of zeros, to be filled with the numbers of a file.
    ///
    /// # Errors
    /// [`Error::Shape`] when a number of channels, classes or positions is 0.
    pub fn init(&self, device: &Device) -> Result<Head, Error> {
        let [_, _, width] = self.channels;
        check::not_empty("head", &self.channels)?;
        check::not_empty("head", &[self.classes, self.size[0], self.size[1]])?;
        let classifier = Classifier {
            weight: Tensor::zeros([width, self.classes], device),
            bias: Tensor::zeros([self.classes], device),
        };
        let projector = Bottleneck::zeros(self.channels, device);
        Ok(Head::new(self.clone(), projector, classifier, device))
    }
}

/// A projector, and the classifier that reads what it gives: the part of SimKD's network that stands on
/// the student's last map.
#[derive(Module, Debug)]
pub struct Head {
    #[module(skip)]
    config: HeadConfig,
    projector: Bottleneck,
    classifier: Linear,
}

impl Head {
    pub(super) fn new(
        config: HeadConfig,
        projector: Bottleneck,
        classifier: Classifier,
        device: &Device,
    ) -> Self {
        let [_, _, width] = config.channels;
        let mut layer = LinearConfig::new(width, config.classes).init(device);
        // By their values: the classifier may be that of a network on another device.
        let Classifier { weight, bias } = classifier;
        layer.weight = Param::from_tensor(Tensor::from_data(weight.into_data(), device));
        layer.bias = Some(Param::from_tensor(Tensor::from_data(
            bias.into_data(),
            device,
        )));
        Self {
            config,
            projector,
            classifier: layer,
        }
    }

    /// Its shape.
    pub fn config(&self) -> &HeadConfig {
        &self.config
    }

    /// The map that it reads.
    pub fn taps(&self) -> Taps {
        Taps::levels(Part::Maps, Levels::one(self.config.level))
    }

    /// The projected map `[batch, channels, height, width]` of an output that kept what [`Head::taps`] asks for.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when the map was not asked for, [`Error::Shape`] when it does not have the
    /// channels of the network that this head was made for.
    pub fn project(&self, output: &Output) -> Result<Tensor<4>, Error> {
        let map = output.map(self.config.level)?;
        let [_, _, height, width] = map.dims();
        let [tall, wide] = self.config.size;
        let map = resize(map, [height.min(tall), width.min(wide)]);
        self.projector.forward("simkd", map)
    }

    /// The same output with this head in the place of the network's own classifier, and nothing of it that
    /// `wanted` does not ask for: logits, embedding and classifier are the head's, maps the network's.
    ///
    /// In evaluation mode ([`Module::valid`]) a sample's logits do not depend on its batch.
    ///
    /// # Errors
    /// As [`Head::project`].
    pub fn read(&self, mut output: Output, wanted: &Taps) -> Result<Output, Error> {
        let embedding = average(self.project(&output)?);
        output.logits = self.classifier.forward(embedding.clone());
        for part in [Part::Embedding, Part::Classifier] {
            output.remove(part);
        }
        output.push(Part::Embedding, &embedding, wanted);
        output.push_with(Part::Classifier, wanted, || self.classifier());
        output.retain(wanted);
        Ok(output)
    }

    /// The classifier.
    pub fn classifier(&self) -> Classifier {
        let weight = self.classifier.weight.val();
        let bias = match &self.classifier.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([self.config.classes], &weight.device()),
        };
        Classifier { weight, bias }
    }

    /// The convolutions of the projector in their order, all of stride 1 and padded to keep the size, and the
    /// classifier.
    pub fn layers(&self) -> (impl Iterator<Item = &Conv2d>, &Linear) {
        (self.projector.convolutions(), &self.classifier)
    }
}
