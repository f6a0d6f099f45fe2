//! What networks read.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::{Bool, Device, Int, Tensor};
use kd_core::detection::Objects;

/// One batch of what a network reads, such as images `[batch, channels, height, width]`.
///
/// A kind of input of your own needs the first five methods; trainer, evaluation and teacher cache use
/// nothing else.
pub trait Input: Clone + Send + 'static {
    /// Samples in the batch.
    fn samples(&self) -> usize;

    /// Where the batch is.
    fn device(&self) -> Device;

    /// The batch on the autodiff device, without gradients; itself when it is there.
    fn lift(self) -> Self;

    /// The batch on the plain device; itself when it is there.
    fn lower(self) -> Self;

    /// Some samples of the batch, by their places `[samples]`.
    fn select(self, samples: Tensor<1, Int>) -> Self;

    /// The batch in so many parts, one behind the other, none of them empty: a network may run them at once, where each
    /// sample is computed by itself. None where they cannot be.
    fn parts(&self, count: usize) -> Option<Vec<Self>> {
        let _ = count;
        None
    }
}

/// `count` ranges of almost equal lengths.
fn ranges(samples: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    (0..count).map(move |part| part * samples / count..(part + 1) * samples / count)
}

/// Images `[batch, channels, height, width]`.
impl Input for Tensor<4> {
    fn samples(&self) -> usize {
        self.dims()[0]
    }

    fn device(&self) -> Device {
        Tensor::device(self)
    }

    fn lift(self) -> Self {
        if self.device().is_autodiff() {
            return self;
        }
        Tensor::from_inner(self)
    }

    fn lower(self) -> Self {
        self.without_autodiff()
    }

    fn select(self, samples: Tensor<1, Int>) -> Self {
        Tensor::select(self, 0, samples)
    }

    fn parts(&self, count: usize) -> Option<Vec<Self>> {
        let part = |range: Range<usize>| self.clone().narrow(0, range.start, range.len());
        Some(ranges(self.samples(), count).map(part).collect())
    }
}

/// Sequences of tokens, padded to one length.
#[derive(Clone, Debug)]
pub struct TokenBatch {
    /// Numbers of the tokens in the vocabulary, `[batch, tokens]`.
    pub ids: Tensor<2, Int>,
    /// True for a token, false for padding, `[batch, tokens]`.
    pub mask: Tensor<2, Bool>,
    /// The type of each token, such as 0 for those of a first sentence and 1 for those of a second, `[batch, tokens]`;
    /// none where all are of the first.
    pub types: Option<Tensor<2, Int>>,
}

impl TokenBatch {
    /// Tokens of the first type.
    pub fn new(ids: Tensor<2, Int>, mask: Tensor<2, Bool>) -> Self {
        Self {
            ids,
            mask,
            types: None,
        }
    }
}

impl Input for TokenBatch {
    fn samples(&self) -> usize {
        self.ids.dims()[0]
    }

    fn device(&self) -> Device {
        self.ids.device()
    }

    fn lift(self) -> Self {
        if self.ids.device().is_autodiff() {
            return self;
        }
        Self {
            ids: Tensor::from_inner(self.ids),
            mask: Tensor::from_inner(self.mask),
            types: self.types.map(Tensor::from_inner),
        }
    }

    fn lower(self) -> Self {
        Self {
            ids: self.ids.without_autodiff(),
            mask: self.mask.without_autodiff(),
            types: self.types.map(Tensor::without_autodiff),
        }
    }

    fn select(self, samples: Tensor<1, Int>) -> Self {
        Self {
            ids: self.ids.select(0, samples.clone()),
            types: self.types.map(|types| types.select(0, samples.clone())),
            mask: self.mask.select(0, samples),
        }
    }

    fn parts(&self, count: usize) -> Option<Vec<Self>> {
        let part = |range: Range<usize>| Self {
            ids: self.ids.clone().narrow(0, range.start, range.len()),
            mask: self.mask.clone().narrow(0, range.start, range.len()),
            types: self
                .types
                .clone()
                .map(|types| types.narrow(0, range.start, range.len())),
        };
        Some(ranges(self.samples(), count).map(part).collect())
    }
}

/// Images with what there is to find in them.
#[derive(Clone, Debug)]
pub struct SceneBatch {
    /// RGB in 0..1, `[batch, 3, height, width]`: each network normalises them as it wants.
    pub images: Tensor<4>,
    /// The objects of each image, while a network is trained: one of two stages chooses by them which boxes count.
    pub objects: Option<Arc<[Objects]>>,
    /// Seed of what is drawn of these.
    pub seed: u64,
}

impl Input for SceneBatch {
    fn samples(&self) -> usize {
        self.images.dims()[0]
    }

    fn device(&self) -> Device {
        self.images.device()
    }

    fn lift(self) -> Self {
        Self {
            images: Input::lift(self.images),
            ..self
        }
    }

    fn lower(self) -> Self {
        Self {
            images: self.images.without_autodiff(),
            ..self
        }
    }

    fn select(self, samples: Tensor<1, Int>) -> Self {
        let objects = self.objects.map(|objects| {
            let places = samples.clone().into_data();
            let chosen = places.iter::<i64>().map(|i| objects[i as usize].clone());
            chosen.collect()
        });
        Self {
            images: self.images.select(0, samples),
            objects,
            ..self
        }
    }
}
