//! What a network returns.

use std::collections::BTreeMap;

use burn::tensor::{Bool, Int, Tensor};

use crate::detection::BoxRows;
use crate::{Error, Part, PartValue, Taps};

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

/// What a forward pass returns: the logits, and the parts that were asked for by [`Taps`].
///
/// A row is what is classified: an image, a token, a node, an anchor.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use kd_core::{Levels, Output, Part, Taps};
///
/// let device = Device::flex();
/// let taps = Taps::levels(Part::Maps, Levels::one(1));
/// let mut output = Output::new(Tensor::zeros([2, 10], &device));
/// for channels in [16, 32] {
///     let map = Tensor::<4>::zeros([2, channels, 8, 8], &device);
///     output.push(Part::Maps, &map, &taps);
/// }
/// assert_eq!(output.levels(Part::Maps), 2);
/// assert_eq!(output.map(1)?.dims(), [2, 32, 8, 8]);
/// assert!(output.map(0).is_err());
/// # Ok::<(), kd_core::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Output {
    /// Class scores before softmax, `[rows, classes]`.
    pub logits: Tensor<2>,
    /// The rows that count, `[rows]`: false for padding. All of them when absent. An
    /// [`Objective`](crate::Objective) leaves out the others before its terms see them: their logits, and
    /// the entries of every part whose first axis is as long as the rows. A part of another length, such
    /// as token sequences where a row is a token, stays whole.
    pub counted: Option<Tensor<1, Bool>>,
    /// What the rows are, of a network that finds objects.
    pub boxes: Option<BoxRows>,
    /// The tokens that are no padding, `[batch, tokens]`; all of them when absent. Losses of token sequences and
    /// attentions take their means over these.
    pub real_tokens: Option<Tensor<2, Bool>>,
    /// The levels of each part, of which only the asked-for ones are kept.
    parts: BTreeMap<Part, Vec<Option<PartValue>>>,
    /// The outputs of the teachers from which [`Combine`](crate::Combine) made this one; empty for a
    /// single network.
    pub members: Vec<Output>,
}

impl Output {
    /// An output with logits only.
    pub fn new(logits: Tensor<2>) -> Self {
        Self {
            logits,
            counted: None,
            boxes: None,
            real_tokens: None,
            parts: BTreeMap::new(),
            members: Vec::new(),
        }
    }

    /// Adds the next level of a part. The value is kept only when `taps` asks for this level.
    ///
    /// A network adds every level in order, whether it is asked for or not, so that level numbers
    /// always mean the same.
    pub fn push<T: Clone + Into<PartValue>>(&mut self, part: Part, value: &T, taps: &Taps) {
        self.push_with(part, taps, || value.clone());
    }

    /// [`Output::push`] of a value that is computed only when it is asked for.
    pub fn push_with<T: Into<PartValue>>(
        &mut self,
        part: Part,
        taps: &Taps,
        value: impl FnOnce() -> T,
    ) {
        let wanted = taps.wants(part, self.levels(part));
        let value = wanted.then(|| value().into());
        self.parts.entry(part).or_default().push(value);
    }

    /// Adds the next level of a part without its value, which nobody asks for.
    pub fn skip(&mut self, part: Part) {
        self.parts.entry(part).or_default().push(None);
    }

    /// Takes a part out, all its levels.
    pub fn remove(&mut self, part: Part) {
        self.parts.remove(&part);
    }

    /// Number of levels that the network has of a part, kept or not.
    pub fn levels(&self, part: Part) -> usize {
        self.parts.get(&part).map_or(0, Vec::len)
    }

    /// What is kept: part, level and value.
    pub fn kept(&self) -> impl Iterator<Item = (Part, usize, &PartValue)> {
        self.parts.iter().flat_map(|(part, levels)| {
            let levels = levels.iter().enumerate();
            levels.filter_map(|(level, value)| Some((*part, level, value.as_ref()?)))
        })
    }

    /// A level of a part, as the kind of value that it is.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when the network has no such level, when it was not asked for, or when it
    /// is of another kind.
    pub fn get<T: TryFrom<PartValue, Error = Error>>(
        &self,
        part: Part,
        level: usize,
    ) -> Result<T, Error> {
        let value = self.parts.get(&part).and_then(|levels| levels.get(level));
        let Some(Some(value)) = value else {
            let levels = self.levels(part);
            return Err(Error::MissingTap {
                what: match (level, levels) {
                    (0, 0 | 1) => part.name().into(),
                    _ => format!(
                        "level {level} of {} (this network has {levels})",
                        part.name()
                    ),
                },
            });
        };
        T::try_from(value.clone())
    }

    /// The embedding, `[rows, width]`.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when it was not asked for.
    pub fn embedding(&self) -> Result<Tensor<2>, Error> {
        self.get(Part::Embedding, 0)
    }

    /// The layer that gives the logits.
    ///
    /// # Errors
    /// [`Error::MissingTap`] when it was not asked for.
    pub fn classifier(&self) -> Result<Classifier, Error> {
        self.get(Part::Classifier, 0)
    }

    /// The map of a level, `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// As [`Output::get`].
    pub fn map(&self, level: usize) -> Result<Tensor<4>, Error> {
        self.get(Part::Maps, level)
    }

    /// The map of a level before its activation, `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// As [`Output::get`].
    pub fn map_preact(&self, level: usize) -> Result<Tensor<4>, Error> {
        self.get(Part::MapsPreact, level)
    }

    /// The token sequence of a level, `[batch, tokens, width]`.
    ///
    /// # Errors
    /// As [`Output::get`].
    pub fn tokens(&self, level: usize) -> Result<Tensor<3>, Error> {
        self.get(Part::Tokens, level)
    }

    /// The attention probabilities of a layer, `[batch, heads, tokens, tokens]`.
    ///
    /// # Errors
    /// As [`Output::get`].
    pub fn attention(&self, layer: usize) -> Result<Tensor<4>, Error> {
        self.get(Part::Attentions, layer)
    }

    /// What the rows are, of a network that finds objects.
    ///
    /// # Errors
    /// [`Error::MissingTap`] for a network that classifies.
    pub fn boxes(&self) -> Result<&BoxRows, Error> {
        self.boxes.as_ref().ok_or_else(|| Error::MissingTap {
            what: "boxes (it does not find objects)".into(),
        })
    }

    /// Keeps of every part only what `taps` asks for; levels keep their numbers.
    pub fn retain(&mut self, taps: &Taps) {
        for (part, levels) in &mut self.parts {
            for (level, value) in levels.iter_mut().enumerate() {
                if !taps.wants(*part, level) {
                    *value = None;
                }
            }
        }
    }

    /// The same output with every kept value changed, such as made a leaf of the graph.
    pub fn map_parts(self, change: impl Fn(Part, PartValue) -> PartValue) -> Self {
        Self {
            parts: self
                .parts
                .into_iter()
                .map(|(part, levels)| {
                    let levels = levels.into_iter();
                    let changed = levels.map(|value| value.map(|value| change(part, value)));
                    (part, changed.collect())
                })
                .collect(),
            ..self
        }
    }

    /// Lifts a teacher's output from the plain device to the autodiff device, without gradients.
    pub fn lift(self) -> Self {
        let output = self.map_parts(|_, value| value.lift());
        Self {
            logits: Tensor::from_inner(output.logits),
            counted: output.counted.map(Tensor::from_inner),
            boxes: output.boxes.map(BoxRows::without_losses),
            real_tokens: output.real_tokens.map(Tensor::from_inner),
            parts: output.parts,
            members: output.members.into_iter().map(Self::lift).collect(),
        }
    }

    /// The output on the plain device, without its graph: what others learn from.
    pub fn lower(self) -> Self {
        let output = self.map_parts(|_, value| value.lower());
        Self {
            logits: output.logits.inner(),
            counted: output.counted.map(Tensor::inner),
            boxes: output.boxes.map(BoxRows::without_losses),
            real_tokens: output.real_tokens.map(Tensor::inner),
            parts: output.parts,
            members: output.members.into_iter().map(Self::lower).collect(),
        }
    }

    /// The same output of some rows: logits, and the parts whose first axis has an entry for each row.
    pub(crate) fn select_rows(&self, rows: &Tensor<1, Int>) -> Self {
        let [count, _] = self.logits.dims();
        let mut selected = self.clone();
        // Edges are between rows by their numbers, which the rows that are left do not keep.
        selected.remove(Part::Edges);
        let selected = selected.map_parts(|part, value| match value {
            // A classifier's weight has no rows, whatever its first axis.
            value if part == Part::Classifier || value.dims().first() != Some(&count) => value,
            value => value.select(rows),
        });
        Self {
            logits: selected.logits.select(0, rows.clone()),
            counted: None,
            boxes: selected.boxes,
            real_tokens: selected
                .real_tokens
                .map(|real| match real.dims()[0] == count {
                    true => real.select(0, rows.clone()),
                    false => real,
                }),
            parts: selected.parts,
            members: selected
                .members
                .iter()
                .map(|m| m.select_rows(rows))
                .collect(),
        }
    }
}
