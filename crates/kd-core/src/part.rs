//! The parts of a network that a forward pass can show.

use std::sync::Arc;

use burn::tensor::{Int, Tensor};
use serde::{Serialize, Serializer};

use crate::detection::{DenseHead, RegionHead};
use crate::{Classifier, Error};

/// Defines [`Part`] from one line a part: its name in messages.
macro_rules! parts {
    ($($(#[$doc:meta])+ $part:ident: $name:literal;)+) => {
        /// A part of a network that a forward pass can show.
        ///
        /// Most parts have levels, counted from 0. A part that a network has once is level 0.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Part {
            $($(#[$doc])+ $part,)+
        }

        impl Part {
            /// Every part.
            pub const ALL: &'static [Self] = &[$(Self::$part),+];

            /// What a message calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$part => $name,)+
                }
            }
        }
    };
}

parts! {
    /// The vector that the classifier reads, `[rows, width]`.
    Embedding: "embedding";
    /// The layer that gives the logits: a [`Classifier`].
    Classifier: "classifier";
    /// Logits of each classifier of a network that has several, `[rows, classes]`: of a distilled DeiT those of the class
    /// token and of the distillation token.
    Heads: "logits of each head";
    /// Feature maps after the activation: the stem, then one a stage, `[batch, channels, height, width]`.
    Maps: "maps";
    /// The same maps before the activation.
    MapsPreact: "maps before the activation";
    /// The map whose average over positions the classifier reads, `[batch, channels, height, width]`: the last of the
    /// maps, or what a layer after it makes of it.
    Pooled: "map before pooling";
    /// Token sequences: the embedding, then one a layer, `[batch, tokens, width]`.
    Tokens: "tokens";
    /// Attention probabilities, one a layer, `[batch, heads, tokens, tokens]`.
    Attentions: "attentions";
    /// Attention scores before the softmax, one a layer, `[batch, heads, tokens, tokens]`.
    Scores: "attention scores";
    /// Queries, one a layer, `[batch, heads, tokens, width]`.
    Queries: "queries";
    /// Keys, one a layer, `[batch, heads, tokens, width]`.
    Keys: "keys";
    /// Values, one a layer, `[batch, heads, tokens, width]`.
    Values: "values";
    /// Edges of a graph whose nodes are the rows: numbers of their sources, then of their targets, `[2, edges]`.
    Edges: "edges";
    /// Box offsets or corners, one a row of the logits, `[rows, 4]`.
    Boxes: "boxes";
    /// The second stage of a detector, which says of any box of its images what is in it: a
    /// [`RegionHead`](crate::detection::RegionHead).
    Regions: "box head";
    /// The head of a detector whose maps all go through the same convolutions, with what they gave: a
    /// [`DenseHead`](crate::detection::DenseHead).
    DenseHead: "head over a pyramid";
}

impl Serialize for Part {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// What stands at one level of a part.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PartValue {
    /// A tensor such as an embedding, `[rows, width]`.
    Rank2(Tensor<2>),
    /// A tensor such as a token sequence, `[batch, tokens, width]`.
    Rank3(Tensor<3>),
    /// A tensor such as a map, `[batch, channels, height, width]`.
    Rank4(Tensor<4>),
    /// Numbers of rows, such as edges, `[2, edges]`.
    Numbers(Tensor<2, Int>),
    /// A layer.
    Classifier(Box<Classifier>),
    /// The second stage of a detector.
    Regions(Arc<dyn RegionHead>),
    /// The head of a detector.
    DenseHead(Box<DenseHead>),
}

/// Conversions of a kind of value into [`PartValue`] and back.
macro_rules! holds {
    (@out Classifier $value:ident) => {
        *$value
    };
    (@out DenseHead $value:ident) => {
        *$value
    };
    (@out $variant:ident $value:ident) => {
        $value
    };
    ($($variant:ident: $value:ty;)+) => {
        $(
            impl From<$value> for PartValue {
                fn from(value: $value) -> Self {
                    Self::$variant(value.into())
                }
            }

            impl TryFrom<PartValue> for $value {
                type Error = Error;

                fn try_from(value: PartValue) -> Result<Self, Error> {
                    match value {
                        PartValue::$variant(value) => Ok(holds!(@out $variant value)),
                        other => Err(Error::MissingTap {
                            what: format!(
                                "part of the kind {} (it is {})",
                                stringify!($variant),
                                other.kind()
                            ),
                        }),
                    }
                }
            }
        )+

        impl PartValue {
            fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => stringify!($variant),)+
                }
            }
        }
    };
}

holds! {
    Rank2: Tensor<2>;
    Rank3: Tensor<3>;
    Rank4: Tensor<4>;
    Numbers: Tensor<2, Int>;
    Classifier: Classifier;
    Regions: Arc<dyn RegionHead>;
    DenseHead: DenseHead;
}

impl PartValue {
    /// The shape of a tensor, or of a layer's weight; of what has none, nothing.
    pub fn dims(&self) -> Vec<usize> {
        match self {
            Self::Rank2(tensor) => tensor.dims().to_vec(),
            Self::Rank3(tensor) => tensor.dims().to_vec(),
            Self::Rank4(tensor) => tensor.dims().to_vec(),
            Self::Numbers(numbers) => numbers.dims().to_vec(),
            Self::Classifier(layer) => layer.weight.dims().to_vec(),
            Self::Regions(_) | Self::DenseHead(_) => Vec::new(),
        }
    }

    /// Some entries of the first axis of a tensor.
    pub(crate) fn select(self, rows: &Tensor<1, Int>) -> Self {
        match self {
            Self::Rank2(tensor) => tensor.select(0, rows.clone()).into(),
            Self::Rank3(tensor) => tensor.select(0, rows.clone()).into(),
            Self::Rank4(tensor) => tensor.select(0, rows.clone()).into(),
            whole => whole,
        }
    }

    /// The same value on the autodiff device, without gradients.
    pub(crate) fn lift(self) -> Self {
        match self {
            Self::Rank2(tensor) => Tensor::from_inner(tensor).into(),
            Self::Rank3(tensor) => Tensor::from_inner(tensor).into(),
            Self::Rank4(tensor) => Tensor::from_inner(tensor).into(),
            Self::Numbers(numbers) => Tensor::from_inner(numbers).into(),
            Self::Classifier(layer) => Classifier {
                weight: Tensor::from_inner(layer.weight),
                bias: Tensor::from_inner(layer.bias),
            }
            .into(),
            Self::DenseHead(head) => head.lift().into(),
            head @ Self::Regions(_) => head,
        }
    }

    /// The same value on the plain device, without its graph.
    pub(crate) fn lower(self) -> Self {
        match self {
            Self::Rank2(tensor) => tensor.inner().into(),
            Self::Rank3(tensor) => tensor.inner().into(),
            Self::Rank4(tensor) => tensor.inner().into(),
            Self::Numbers(numbers) => numbers.inner().into(),
            Self::Classifier(layer) => Classifier {
                weight: layer.weight.inner(),
                bias: layer.bias.inner(),
            }
            .into(),
            Self::DenseHead(head) => head.lower().into(),
            head @ Self::Regions(_) => head,
        }
    }
}
