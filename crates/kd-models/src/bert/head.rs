//! What stands on the last states of a text network.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::{gelu, relu};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_kernels::layers::dropout;

use super::config::{TextConfig, TextKind, TextOutput};
use crate::backbone::shown;
use crate::fused::classify;
use crate::macs::MacCounter;
use crate::vit::{Norm, linear};

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a network has one")]
pub(super) enum TextHead {
    Classes(Classes),
    Words(Words),
}

/// `classifier(dropout(activation(pooler(x))))` of the first token, where BERT has a hyperbolic tangent and DistilBERT a
/// ReLU.
#[derive(Module, Debug)]
pub(super) struct Classes {
    pooler: Linear,
    classifier: Linear,
    dropout: Dropout,
    #[module(skip)]
    kind: TextKind,
}

/// `norm(gelu(transform(x))) · wordsᵀ + bias` of every token.
#[derive(Module, Debug)]
pub(super) struct Words {
    transform: Linear,
    norm: Norm,
    bias: Param<Tensor<1>>,
}

impl TextHead {
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let width = config.width;
        match config.output {
            TextOutput::Classes(classes) => Self::Classes(Classes {
                pooler: linear(width, width, device),
                classifier: linear(width, classes, device),
                dropout: DropoutConfig::new(config.dropout.classifier).init(),
                kind: config.kind,
            }),
            TextOutput::Words => Self::Words(Words {
                transform: linear(width, width, device),
                norm: Norm::new(width, device),
                bias: Initializer::Zeros.init([config.vocabulary], device),
            }),
        }
    }

    /// Reads the last states, `[batch, tokens, width]`.
    pub fn forward(
        &self,
        states: Tensor<3>,
        words: &Param<Tensor<2>>,
        epsilon: f64,
        output: &mut Output,
        taps: &Taps,
    ) {
        let [batch, tokens, width] = states.dims();
        match self {
            Self::Classes(head) => {
                let first = states.narrow(1, 0, 1).squeeze_dim(1);
                let pooled = classify(&head.pooler, first);
                let pooled = match head.kind {
                    TextKind::Bert => pooled.tanh(),
                    TextKind::DistilBert => relu(pooled),
                };
                output.push(Part::Embedding, &pooled, taps);
                output.push_with(Part::Classifier, taps, || shown(&head.classifier));
                output.logits = classify(&head.classifier, dropout(&head.dropout, pooled));
            }
            Self::Words(head) => {
                let inner = head
                    .norm
                    .forward(gelu(head.transform.forward(states)), epsilon);
                let inner = inner.reshape([batch * tokens, width]);
                output.push(Part::Embedding, &inner, taps);
                output.logits = inner.matmul(words.val().transpose()) + head.bias.val().unsqueeze();
                let real = output.real_tokens.clone();
                output.counted = real.map(|real| real.reshape([batch * tokens]));
            }
        }
    }

    pub fn count(&self, tokens: usize, words: &Param<Tensor<2>>, macs: &mut MacCounter) {
        match self {
            Self::Classes(head) => {
                macs.linear(&head.pooler).linear(&head.classifier);
            }
            Self::Words(head) => {
                let [vocabulary, width] = words.lazy_shape().dims();
                macs.rows(&head.transform, tokens);
                macs.product([tokens, width, vocabulary]);
            }
        }
    }
}
