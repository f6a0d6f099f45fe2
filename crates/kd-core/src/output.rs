//! What a network returns.

use burn::tensor::Tensor;

use crate::{Error, Levels};

/// Tensors by level, of which only the asked-for ones are kept.
///
/// A network pushes one entry a level, in order, whether it is wanted or not, so that level
/// numbers always mean the same.
#[derive(Clone, Debug)]
pub struct Maps<const D: usize> {
    levels: Vec<Option<Tensor<D>>>,
}

impl<const D: usize> Default for Maps<D> {
    fn default() -> Self {
        Self { levels: Vec::new() }
    }
}

impl<const D: usize> Maps<D> {
    /// Adds the next level; the tensor is kept only when `wanted` contains that level.
    pub fn push(&mut self, tensor: &Tensor<D>, wanted: &Levels) {
        let level = self.levels.len();
        self.levels
            .push(wanted.contains(level).then(|| tensor.clone()));
    }

    /// Adds the next level without its tensor, which nobody wants.
    pub fn skip(&mut self) {
        self.levels.push(None);
    }

    /// Number of levels the network has, kept or not.
    pub fn len(&self) -> usize {
        self.levels.len()
    }

    /// True for a network that has no such levels.
    pub fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// The tensor of a level.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when the network has no such level or it was not asked for.
    pub fn get(&self, level: usize) -> Result<Tensor<D>, Error> {
        self.levels
            .get(level)
            .cloned()
            .flatten()
            .ok_or_else(|| Error::MissingTap {
                what: format!("feature level {level} (this network has {})", self.len()),
            })
    }

    /// Kept levels with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (usize, &Tensor<D>)> {
        self.levels
            .iter()
            .enumerate()
            .filter_map(|(level, tensor)| tensor.as_ref().map(|t| (level, t)))
    }

    /// Drops the levels that are not wanted; the others keep their numbers.
    pub(crate) fn retain(&mut self, wanted: &Levels) {
        for (level, tensor) in self.levels.iter_mut().enumerate() {
            if !wanted.contains(level) {
                *tensor = None;
            }
        }
    }

    fn map(self, f: impl Fn(Tensor<D>) -> Tensor<D>) -> Self {
        Self {
            levels: self.levels.into_iter().map(|t| t.map(&f)).collect(),
        }
    }
}

/// The linear layer that turns embeddings into logits: `logits = embedding · weight + bias`.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// `[width, classes]`.
    pub weight: Tensor<2>,
    /// `[classes]`; zeros for a layer that has none.
    pub bias: Tensor<1>,
}

impl Classifier {
    /// Logits `[batch, classes]` of embeddings `[batch, width]`.
    ///
    /// # Errors
    /// [`Error::Shape`] when the embedding has another width, or the bias another number of classes.
    pub fn forward(&self, embedding: Tensor<2>) -> Result<Tensor<2>, Error> {
        let ([_, found], [width, classes]) = (embedding.dims(), self.weight.dims());
        if found != width || self.bias.dims() != [classes] {
            return Err(Error::Shape {
                loss: "classifier",
                problem: format!(
                    "a weight of shape [{width}, {classes}] and a bias of shape {:?} cannot read an \
                     embedding of width {found}",
                    self.bias.dims()
                ),
            });
        }
        Ok(embedding.matmul(self.weight.clone()) + self.bias.clone().unsqueeze())
    }

    /// The same layer as constants: no gradient reaches it.
    pub fn detach(self) -> Self {
        Self {
            weight: self.weight.detach(),
            bias: self.bias.detach(),
        }
    }
}

/// What a forward pass returns: the logits, and what was asked for by [`Taps`](crate::Taps).
#[derive(Clone, Debug)]
pub struct Output {
    /// Class scores before softmax, `[batch, classes]`.
    pub logits: Tensor<2>,
    /// The vector that the classifier reads, `[batch, width]`.
    pub embedding: Option<Tensor<2>>,
    /// The layer that gives the logits.
    pub classifier: Option<Classifier>,
    /// Feature maps after the activation: stem, then one a stage, `[batch, channels, height, width]`.
    pub maps: Maps<4>,
    /// The same maps before the activation.
    pub maps_preact: Maps<4>,
    /// Token sequences: the embedding, then one a layer, `[batch, tokens, width]`.
    pub tokens: Maps<3>,
    /// Attention probabilities, one a layer, `[batch, heads, tokens, tokens]`.
    pub attentions: Maps<4>,
    /// What each teacher shows of whom [`Combine`](crate::Combine) made this one; empty for a single
    /// network.
    pub members: Vec<Output>,
}

impl Output {
    /// An output with logits only.
    pub fn new(logits: Tensor<2>) -> Self {
        Self {
            logits,
            embedding: None,
            classifier: None,
            maps: Maps::default(),
            maps_preact: Maps::default(),
            tokens: Maps::default(),
            attentions: Maps::default(),
            members: Vec::new(),
        }
    }

    /// The embedding.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when it was not asked for.
    pub fn embedding(&self) -> Result<Tensor<2>, Error> {
        self.embedding.clone().ok_or_else(|| Error::MissingTap {
            what: "embedding".into(),
        })
    }

    /// The layer that gives the logits.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when it was not asked for.
    pub fn classifier(&self) -> Result<Classifier, Error> {
        self.classifier.clone().ok_or_else(|| Error::MissingTap {
            what: "classifier".into(),
        })
    }

    /// Lifts a teacher's output from the plain device to the autodiff device, without gradients.
    pub fn lift(self) -> Self {
        self.moved::<Lift>()
    }

    /// The output on the plain device, without its graph: what others learn from.
    pub fn lower(self) -> Self {
        self.moved::<Lower>()
    }

    fn moved<W: Way>(self) -> Self {
        Self {
            logits: W::take(self.logits),
            embedding: self.embedding.map(W::take),
            classifier: self.classifier.map(|layer| Classifier {
                weight: W::take(layer.weight),
                bias: W::take(layer.bias),
            }),
            maps: self.maps.map(W::take),
            maps_preact: self.maps_preact.map(W::take),
            tokens: self.tokens.map(W::take),
            attentions: self.attentions.map(W::take),
            members: self.members.into_iter().map(Self::moved::<W>).collect(),
        }
    }
}

/// A way between the plain and the autodiff device.
trait Way {
    fn take<const D: usize>(tensor: Tensor<D>) -> Tensor<D>;
}

struct Lift;

impl Way for Lift {
    fn take<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
        Tensor::from_inner(tensor)
    }
}

struct Lower;

impl Way for Lower {
    fn take<const D: usize>(tensor: Tensor<D>) -> Tensor<D> {
        tensor.inner()
    }
}
