//! What a trainer and an objective know of a network.

use burn::module::{Module, ModuleDisplay};
use burn::nn::{Dropout, Linear};
use burn::tensor::Tensor;
use kd_core::{Classifier, Head, Output, Part, Taps};
use kd_kernels::layers;

use crate::fused::classify;
use crate::layers::global_average;
use crate::{Error, Input, Prepared};

/// A network that shows its inside.
///
/// A trainer is generic over the student's and the teacher's backbone, so a module of your own
/// distils with the ones of this crate. [`Module::valid`] gives the same type on the plain device,
/// with batch normalisation and dropout in evaluation mode; that is how a teacher is run.
pub trait Backbone: Module + ModuleDisplay {
    /// What one batch of input is: images `[batch, channels, height, width]` for the networks here.
    type Input: Input;

    /// Runs a batch and returns its logits together with what `taps` asks for.
    fn forward(&self, input: Self::Input, taps: &Taps) -> Output;

    /// The network for inference that is asked again and again, one image at a time or many.
    fn prepare(&self) -> Prepared<Self> {
        Prepared::new(self)
    }

    /// The same network with `head` in the place of its classifier, as it is deployed after a training that
    /// made one ([`Objective::head`](kd_core::Objective::head)).
    ///
    /// A network of your own can do without, as long as its objective trains no head.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a network that can have no other, which is every one that does not say how;
    /// [`Error::Head`] when this one does not fit.
    fn with_head(self, head: Head) -> Result<Self, Error> {
        let _ = head;
        Err(Error::NoHead)
    }
}

/// Collects the levels of a forward pass.
pub(crate) struct Recorder<'a> {
    taps: &'a Taps,
    output: Output,
}

impl<'a> Recorder<'a> {
    /// Starts with the stem, whose map stands in both lists as in the references.
    pub fn new(taps: &'a Taps, stem: &Tensor<4>) -> Self {
        // The logits are known last; an empty tensor holds their place.
        let mut recorder = Self {
            taps,
            output: Output::new(Tensor::empty([0, 0], &stem.device())),
        };
        recorder.stage(stem, Some(stem.clone()));
        recorder
    }

    /// Whether the next level before its activation is asked for.
    pub fn wants_preact(&self) -> bool {
        let level = self.output.levels(Part::MapsPreact);
        self.taps.wants(Part::MapsPreact, level)
    }

    /// Adds a level after and before its activation. The latter may be missing when it is not
    /// [wanted](Self::wants_preact).
    pub fn stage(&mut self, map: &Tensor<4>, preact: Option<Tensor<4>>) {
        self.map(map);
        self.preact(preact);
    }

    /// Adds a level after its activation only.
    pub fn map(&mut self, map: &Tensor<4>) {
        self.output.push(Part::Maps, map, self.taps);
    }

    /// Adds a level before its activation only.
    pub fn preact(&mut self, preact: Option<Tensor<4>>) {
        match preact {
            Some(preact) => self.output.push(Part::MapsPreact, &preact, self.taps),
            None => self.output.skip(Part::MapsPreact),
        }
    }

    /// Ends with the map whose average the classifier reads, and with what it reads, says and is.
    pub fn finish(self, map: Tensor<4>, layer: &Linear) -> Output {
        let embedding = global_average(map.clone());
        self.end(map, embedding, None, layer)
    }

    /// As [`finish`](Self::finish), with dropout between the average and the classifier.
    pub fn finish_dropping(self, map: Tensor<4>, dropout: &Dropout, layer: &Linear) -> Output {
        let embedding = global_average(map.clone());
        self.end(map, embedding, Some(dropout), layer)
    }

    /// As [`finish`](Self::finish), where hidden layers between the average and the classifier give `embedding`. What
    /// the classifier reads is then the average of a map of one position.
    pub fn finish_hidden(self, embedding: Tensor<2>, dropout: &Dropout, layer: &Linear) -> Output {
        let [batch, width] = embedding.dims();
        let map = embedding.clone().reshape([batch, width, 1, 1]);
        self.end(map, embedding, Some(dropout), layer)
    }

    /// The embedding is shown as it is before dropout: its noise would be in every loss that reads it.
    fn end(
        mut self,
        map: Tensor<4>,
        embedding: Tensor<2>,
        dropout: Option<&Dropout>,
        layer: &Linear,
    ) -> Output {
        self.output.push(Part::Pooled, &map, self.taps);
        let read = match dropout {
            Some(dropout) => layers::dropout(dropout, embedding.clone()),
            None => embedding.clone(),
        };
        self.output.logits = classify(layer, read);
        self.output.push(Part::Embedding, &embedding, self.taps);
        self.output
            .push_with(Part::Classifier, self.taps, || shown(layer));
        self.output
    }
}

/// A layer as an output shows it.
pub(crate) fn shown(layer: &Linear) -> Classifier {
    let weight = layer.weight.val();
    let [_, classes] = weight.dims();
    let bias = match &layer.bias {
        Some(bias) => bias.val(),
        None => Tensor::zeros([classes], (&weight.device(), weight.dtype())),
    };
    Classifier { weight, bias }
}
