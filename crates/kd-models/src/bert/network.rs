//! The module of a text network.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};

use super::block::{Block, Embeddings};
use super::config::TextConfig;
use super::head::TextHead;
use crate::backbone::Backbone;
use crate::keys;
use crate::layers_of::with_blocks_of;
use crate::macs::MacCounter;
use crate::vit::unseen;
use crate::{Error, NetworkSize, TokenBatch};

/// How the path of the classifier begins.
pub(super) const CLASSIFIER: &str = "head.classifier.";

/// A network that reads text: BERT, DistilBERT, or one of their shape.
///
/// Levels of tokens, `[batch, tokens, width]`: embeddings, then after each block. Attentions, scores, queries, keys and
/// values: one level a block. The embedding of a classifier is what it reads, after the activation and before dropout.
/// A language model has a row of logits for each token, of which those of padding do not count.
///
/// States of padding are finite and mean nothing: [`Output::real_tokens`] says which they are.
///
/// ```
/// use burn::tensor::{Bool, Device, Int, Tensor};
/// use kd_core::Taps;
/// use kd_models::{Backbone, TextConfig, TextNetwork, TokenBatch};
///
/// let device = Device::default();
/// let shape = TextConfig { vocabulary: 100, ..TextConfig::bert(24, 2, 4) };
/// let network = TextNetwork::new(&shape, &device)?;
/// let ids = Tensor::<2, Int>::zeros([2, 7], &device);
/// let mask = Tensor::<2, Int>::ones([2, 7], &device).bool();
/// let output = network.forward(TokenBatch::new(ids, mask), &Taps::all());
/// assert_eq!(output.logits.dims(), [2, 2]);
/// assert_eq!(output.tokens(2)?.dims(), [2, 7, 24]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Module, Debug)]
pub struct TextNetwork {
    embeddings: Embeddings,
    blocks: Vec<Block>,
    head: TextHead,
    #[module(skip)]
    config: TextConfig,
}

impl TextNetwork {
    /// Builds a network with the initialisation of the references: weights normal with a deviation of 0.02, drawn now by
    /// this thread's generator ([`kd_core::draw::seed`]).
    ///
    /// # Errors
    /// [`Error::Config`] and [`Error::Share`] for a shape that cannot be.
    pub fn new(config: &TextConfig, device: &Device) -> Result<Self, Error> {
        let network = Self::lazy(config, device)?;
        network.draw();
        Ok(network)
    }

    /// Draws parameters when they are first used, or never if they are loaded.
    pub(super) fn lazy(config: &TextConfig, device: &Device) -> Result<Self, Error> {
        config.check()?;
        Ok(Self {
            embeddings: Embeddings::new(config, device),
            blocks: (0..config.depth)
                .map(|_| Block::new(config, device))
                .collect(),
            head: TextHead::new(config, device),
            config: config.clone(),
        })
    }

    /// Draws what is not drawn yet.
    pub(super) fn draw(&self) {
        struct Draw;
        impl ModuleVisitor for Draw {
            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                param.val();
            }
        }
        self.visit(&mut Draw);
    }

    /// What this network was built from.
    pub fn config(&self) -> &TextConfig {
        &self.config
    }

    /// The same network with the values of another: block `i` begins as block `layers[i]` of `other`, counted from 0, and
    /// everything beside the blocks as its counterpart there. A classifier for other classes stays as it is.
    ///
    /// Source: V. Sanh, L. Debut, J. Chaumond, T. Wolf, "DistilBERT", NeurIPS EMC² workshop 2019.
    ///
    /// # Errors
    /// [`Error::Layers`] when there is not one layer for each block, and when tensors differ in shape.
    pub fn with_layers_of(self, other: &Self, layers: &[usize]) -> Result<Self, Error> {
        let [model, teacher] = [&self, other].map(|network| network.config.to_string());
        let kept = vec![CLASSIFIER.to_owned()];
        with_blocks_of(self, other, "blocks.", layers, kept).map_err(|problem| Error::Layers {
            model,
            other: teacher,
            problem,
        })
    }

    /// Vectors of sentences, `[batch, width]` and of unit length: the mean of the last states over real tokens.
    ///
    /// Source: N. Reimers, I. Gurevych, "Sentence-BERT: Sentence Embeddings using Siamese BERT-Networks", EMNLP 2019.
    pub fn sentences(&self, input: TokenBatch) -> Tensor<2> {
        let real = input.mask.clone().float().unsqueeze_dim(2);
        let states = self.states(input, &mut silent(), &Taps::none());
        let mean = (states * real.clone()).sum_dim(1) / real.sum_dim(1).clamp_min(1.0);
        let mean: Tensor<2> = mean.squeeze_dim(1);
        let length = mean.clone().square().sum_dim(1).sqrt();
        mean / length.clamp_min(1e-12)
    }

    /// States after the last block, `[batch, tokens, width]`.
    fn states(&self, input: TokenBatch, output: &mut Output, taps: &Taps) -> Tensor<3> {
        let TokenBatch { ids, mask, types } = input;
        let epsilon = self.config.epsilon;
        let unseen = unseen(&mask);
        output.real_tokens = Some(mask);
        let mut states = self.embeddings.forward(ids, types, epsilon);
        output.push(Part::Tokens, &states, taps);
        for block in &self.blocks {
            states = block.forward(states, &unseen, epsilon, output, taps);
            output.push(Part::Tokens, &states, taps);
        }
        states
    }

    /// Parameters and multiply-accumulates for a sequence of so many tokens.
    pub fn cost(&self, tokens: usize) -> NetworkSize {
        let mut macs = MacCounter::new(1);
        for block in &self.blocks {
            block.count(tokens, &mut macs);
        }
        self.head
            .count(tokens, &self.embeddings.words.weight, &mut macs);
        let keys = keys::of(self, str::to_owned);
        NetworkSize {
            parameters: keys::trained(&keys) as u64,
            macs: macs.macs(),
        }
    }
}

/// An output whose logits are known last; an empty tensor holds their place.
fn silent() -> Output {
    Output::new(Tensor::empty([0, 0], &Device::default()))
}

impl Backbone for TextNetwork {
    type Input = TokenBatch;

    /// # Panics
    /// When a sequence is longer than the network's positions.
    fn forward(&self, input: TokenBatch, taps: &Taps) -> Output {
        let mut output = silent();
        let states = self.states(input, &mut output, taps);
        let words = &self.embeddings.words.weight;
        let epsilon = self.config.epsilon;
        self.head.forward(states, words, epsilon, &mut output, taps);
        output
    }
}
