//! Compact transformers: CCT and ViT-Lite (Hassani et al., "Escaping the Big Data Paradigm with Compact Transformers",
//! arXiv 2021), with the names of the authors' repository.
//!
//! A CCT makes tokens by convolutions with a ReLU and a pooling each; a ViT-Lite cuts patches, and has a class token. A
//! block is `x ← norm1(x + attention(pre_norm(x)))`, `x ← x + linear2(gelu(linear1(x)))`. A CCT's classifier reads the
//! tokens' mean, weighted by `softmax(attention_pool(x))` over the tokens.

mod block;
mod config;
mod tokenizer;

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Output, Part, Taps, draw};

use self::block::Block;
use self::config::NAMES;
use self::tokenizer::Tokenizer;
use crate::Error;
use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, shown};
use crate::fused::classify;
use crate::macs::MacCounter;
use crate::vit::{Norm, PositionResize, linear};

pub(crate) use config::CctConfig;

/// What layer normalisation adds to variances.
const EPSILON: f64 = 1e-5;
/// For images of another size. The authors' code resizes bilinearly.
const RESIZE: PositionResize = PositionResize::Antialiased;

/// A compact transformer.
///
/// Levels of tokens: with their positions, then after each block. Levels of maps: the same without the class token, as
/// a grid; there is no activation, so the maps before it are these maps. Attentions, scores, queries, keys and values:
/// one level a block. The map before pooling is the embedding, as a map of one pixel.
#[derive(Module, Debug)]
pub(crate) struct Cct {
    tokenizer: Tokenizer,
    classifier: Classifier,
    /// Tokens along a side, as many as there are positions.
    #[module(skip)]
    grid: usize,
}

/// What reads the tokens.
#[derive(Module, Debug)]
struct Classifier {
    class_emb: Option<Param<Tensor<3>>>,
    attention_pool: Option<Linear>,
    positional_emb: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: Norm,
    fc: Linear,
}

impl Cct {
    fn on_grid(
        config: &CctConfig,
        channels: usize,
        classes: usize,
        grid: usize,
        device: &Device,
    ) -> Self {
        let width = config.width;
        let patches = config.has_class_token();
        let positions = grid * grid + usize::from(patches);
        let classifier = Classifier {
            class_emb: patches.then(|| draw::normal([1, 1, width], 1e-6, device)),
            attention_pool: (!patches).then(|| linear(width, 1, device)),
            positional_emb: draw::normal([1, positions, width], 0.2, device),
            blocks: (0..config.depth)
                .map(|number| Block::new(config, number, device))
                .collect(),
            norm: Norm::new(width, device),
            fc: linear(width, classes, device),
        };
        Self {
            tokenizer: Tokenizer::new(config, channels, device),
            classifier,
            grid,
        }
    }

    /// Tokens that are no part of the grid.
    fn leading(&self) -> usize {
        usize::from(self.classifier.class_emb.is_some())
    }

    /// Tokens `[batch, tokens, width]` with their positions, and the grid's sides.
    fn embed(&self, images: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let map = self.tokenizer.forward(images);
        let [batch, width, tall, wide] = map.dims();
        let mut tokens = map.reshape([batch, width, tall * wide]).swap_dims(1, 2);
        if let Some(class) = &self.classifier.class_emb {
            tokens = Tensor::cat(vec![class.val().expand([batch, 1, width]), tokens], 1);
        }
        let (own, grid) = ([self.grid; 2], [tall, wide]);
        let positions = self.classifier.positional_emb.val();
        let positions = RESIZE.apply(positions, self.leading(), own, grid);
        (tokens + positions, grid)
    }

    /// Adds a level of tokens, and of maps.
    fn level(&self, output: &mut Output, tokens: &Tensor<3>, grid: [usize; 2], taps: &Taps) {
        let [batch, _, width] = tokens.dims();
        let map = || {
            let patches = tokens
                .clone()
                .narrow(1, self.leading(), grid[0] * grid[1])
                .swap_dims(1, 2);
            patches.reshape([batch, width, grid[0], grid[1]])
        };
        output.push(Part::Tokens, tokens, taps);
        output.push_with(Part::Maps, taps, map);
        output.push_with(Part::MapsPreact, taps, map);
    }
}

impl Classifier {
    /// What the last layer reads, `[batch, width]`.
    fn pool(&self, tokens: Tensor<3>) -> Tensor<2> {
        let Some(pool) = &self.attention_pool else {
            let class = tokens.narrow(1, 0, 1);
            return self.norm.forward(class, EPSILON).squeeze_dim(1);
        };
        let tokens = self.norm.forward(tokens, EPSILON);
        let shares = softmax(pool.forward(tokens.clone()), 1);
        (tokens * shares).sum_dim(1).squeeze_dim(1)
    }
}

impl Backbone for Cct {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        // The logits are known last; an empty tensor holds their place.
        let mut output = Output::new(Tensor::empty([0, 0], &input.device()));
        let (mut tokens, grid) = self.embed(input);
        self.level(&mut output, &tokens, grid, taps);
        for block in &self.classifier.blocks {
            tokens = block.forward(tokens, &mut output, taps);
            self.level(&mut output, &tokens, grid, taps);
        }
        let embedding = self.classifier.pool(tokens);
        let fc = &self.classifier.fc;
        output.logits = classify(fc, embedding.clone());
        output.push_with(Part::Classifier, taps, || shown(fc));
        output.push(Part::Embedding, &embedding, taps);
        output.push_with(Part::Pooled, taps, || {
            let [batch, width] = embedding.dims();
            embedding.clone().reshape([batch, width, 1, 1])
        });
        output
    }
}

impl Architecture for Cct {
    type Config = CctConfig;

    const MODELS: &'static [Named<Self::Config>] = NAMES;

    fn new(config: &CctConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let grid = config.grid_of(Self::image_size(config));
        Self::on_grid(config, channels, classes, grid, device)
    }

    fn for_images(
        config: &CctConfig,
        channels: usize,
        classes: usize,
        (size, model): (usize, &str),
        device: &Device,
    ) -> Result<Self, Error> {
        let grid = config.grid(size, model)?;
        Ok(Self::on_grid(config, channels, classes, grid, device))
    }

    fn count(&self, macs: &mut MacCounter) {
        self.tokenizer.count(macs);
        let [tall, wide] = macs.size();
        let tokens = self.leading() + tall * wide;
        for block in &self.classifier.blocks {
            block.count(tokens, macs);
        }
        if let Some(pool) = &self.classifier.attention_pool {
            macs.rows(pool, tokens);
            macs.product([1, tokens, self.classifier.fc.weight.lazy_shape()[0]]);
        }
        macs.linear(&self.classifier.fc);
    }

    fn heads(&self) -> Vec<usize> {
        let blocks = self.classifier.blocks.iter();
        blocks.map(Block::heads).collect()
    }

    fn set_heads(&mut self, heads: &[usize]) -> bool {
        for (block, heads) in self.classifier.blocks.iter_mut().zip(heads) {
            block.set_heads(*heads);
        }
        heads.len() == self.classifier.blocks.len()
    }

    /// Each layer of the tokenizer is a sequence that begins with its convolution.
    fn pytorch_key(&self, path: &str) -> String {
        let layer = path.strip_prefix("tokenizer.conv_layers.");
        match layer.and_then(|layer| layer.split_once('.')) {
            Some((number, rest)) => format!("tokenizer.conv_layers.{number}.0.{rest}"),
            None => path.to_owned(),
        }
    }

    fn positions(&self) -> Option<&'static str> {
        Some("classifier.positional_emb")
    }

    /// Of a square grid.
    fn refit(&self, values: &TensorData, device: &Device) -> Option<TensorData> {
        let [_, _, width] = self.classifier.positional_emb.dims();
        RESIZE.refit(values, self.leading(), [self.grid, width], device)
    }

    fn classifiers(&self) -> &'static [&'static str] {
        &["classifier.fc."]
    }
}
