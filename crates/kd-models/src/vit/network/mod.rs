//! The module of a vision transformer.

mod reading;

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::{Output, Part, Taps, draw};
use kd_kernels::layers;

use super::block::{Block, DEVIATION, linear};
use super::config::{VitConfig, VitDesign, VitPooling};
use super::elsewhere::Described;
use super::names::NAMES;
use super::norm::Norm;
use super::origin::Origin;
use super::patches::PatchEmbedding;
use super::tables;
use crate::Error;
use crate::architecture::{Architecture, Named};
use crate::backbone::Backbone;
use crate::elsewhere::Elsewhere;
use crate::macs::MacCounter;
use crate::spelling::Spelling;

/// A vision transformer.
///
/// Levels of tokens, `[batch, tokens, width]`: with their positions, then after each block, all before the last layer
/// normalisation. Levels of maps: the same without class and distillation token, as a grid
/// `[batch, width, height, width]`; there is no activation, so the maps before it are these maps. Attentions, scores,
/// queries, keys and values: one level a block. The map before pooling is the embedding, as a map of one pixel.
///
/// A distilled network has two classifiers. Its logits are the mean of both, its embedding that of the two vectors that
/// they read, and [`Part::Heads`] shows the logits of each. No single layer gives its logits, so it shows no
/// [`Part::Classifier`].
#[derive(Module, Debug)]
pub(crate) struct Vit {
    cls_token: Param<Tensor<3>>,
    dist_token: Option<Param<Tensor<3>>>,
    pos_embed: Param<Tensor<3>>,
    patch_embed: PatchEmbedding,
    blocks: Vec<Block>,
    norm: Norm,
    head: Linear,
    head_dist: Option<Linear>,
    /// Of tokens with their positions.
    dropout: Dropout,
    #[module(skip)]
    pub(super) config: VitConfig,
    /// Patches along a side, as many as there are positions.
    #[module(skip)]
    pub(super) grid: usize,
    #[module(skip)]
    origin: Origin,
    /// What is added to variances, where it is not what the origin adds.
    #[module(skip)]
    other_epsilon: Option<f64>,
}

impl Vit {
    fn on_grid(
        config: &VitConfig,
        channels: usize,
        classes: usize,
        grid: usize,
        device: &Device,
    ) -> Self {
        let width = config.width;
        let positions = config.leading() + grid * grid;
        let token = |std: f64| draw::normal([1, 1, width], std, device);
        let head = || linear(config.embedding(), classes, device);
        Self {
            cls_token: token(1e-6),
            dist_token: config.distilled.then(|| token(DEVIATION)),
            pos_embed: draw::normal([1, positions, width], DEVIATION, device),
            patch_embed: PatchEmbedding::new(config.patch, [channels, width], device),
            blocks: (0..config.depth)
                .map(|number| Block::new(config, number, device))
                .collect(),
            norm: Norm::new(width, device),
            head: head(),
            head_dist: config.distilled.then(head),
            dropout: DropoutConfig::new(config.dropout.hidden).init(),
            config: *config,
            grid,
            origin: Origin::default(),
            other_epsilon: None,
        }
    }

    /// Tokens `[batch, tokens, width]` with their positions, and the patches along both sides.
    fn embed(&self, images: Tensor<4>) -> (Tensor<3>, [usize; 2]) {
        let patches = self.patch_embed.proj.forward(images);
        let [batch, width, tall, wide] = patches.dims();
        let patches = patches.reshape([batch, width, tall * wide]).swap_dims(1, 2);
        let leading = std::iter::once(&self.cls_token).chain(&self.dist_token);
        let leading = leading.map(|token| token.val().expand([batch, 1, width]));
        let tokens = Tensor::cat(leading.chain([patches]).collect(), 1);
        let grid = [tall, wide];
        let (resize, own) = (self.origin.resize(), [self.grid; 2]);
        let positions = resize.apply(self.pos_embed.val(), self.config.leading(), own, grid);
        let tokens = layers::dropout(&self.dropout, tokens + positions);
        (tokens, grid)
    }

    /// What layer normalisation adds to variances.
    pub(super) fn layer_norm_epsilon(&self) -> f64 {
        let own = self.origin.epsilon(self.config.layer_scale.is_some());
        self.other_epsilon.unwrap_or(own)
    }

    /// Adds a level of tokens, and of maps.
    fn level(&self, output: &mut Output, tokens: &Tensor<3>, grid: [usize; 2], taps: &Taps) {
        let [batch, _, width] = tokens.dims();
        let map = || {
            let patches = self.patches(tokens, grid);
            let map = patches.swap_dims(1, 2);
            map.reshape([batch, width, grid[0], grid[1]])
        };
        output.push(Part::Tokens, tokens, taps);
        output.push_with(Part::Maps, taps, map);
        output.push_with(Part::MapsPreact, taps, map);
    }

    fn patches(&self, tokens: &Tensor<3>, grid: [usize; 2]) -> Tensor<3> {
        let leading = self.config.leading();
        tokens.clone().narrow(1, leading, grid[0] * grid[1])
    }
}

impl Backbone for Vit {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        // The logits are known last; an empty tensor holds their place.
        let mut output = Output::new(Tensor::empty([0, 0], &input.device()));
        let (mut tokens, grid) = self.embed(input);
        self.level(&mut output, &tokens, grid, taps);
        for block in &self.blocks {
            tokens = block.forward(tokens, self.layer_norm_epsilon(), &mut output, taps);
            self.level(&mut output, &tokens, grid, taps);
        }
        let pooled = self.pooled(&tokens, grid);
        self.finish(output, pooled, taps)
    }
}

impl Architecture for Vit {
    type Config = VitDesign;

    const MODELS: &'static [Named<Self::Config>] = NAMES;

    fn heads(&self) -> Vec<usize> {
        self.blocks.iter().map(|block| block.attn.heads).collect()
    }

    fn set_heads(&mut self, heads: &[usize]) -> bool {
        for (block, heads) in self.blocks.iter_mut().zip(heads) {
            block.attn.heads = *heads;
        }
        heads.len() == self.blocks.len()
    }

    fn image_size(config: &VitDesign) -> usize {
        config.image_size
    }

    fn new(config: &VitDesign, channels: usize, classes: usize, device: &Device) -> Self {
        let VitDesign { shape, image_size } = config;
        Self::on_grid(shape, channels, classes, image_size / shape.patch, device)
    }

    fn for_images(
        config: &VitDesign,
        channels: usize,
        classes: usize,
        (size, model): (usize, &str),
        device: &Device,
    ) -> Result<Self, Error> {
        let grid = config.shape.grid(size, model)?;
        Ok(Self::on_grid(
            &config.shape,
            channels,
            classes,
            grid,
            device,
        ))
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.patch_embed.proj);
        let [tall, wide] = macs.size();
        let tokens = self.config.leading() + tall * wide;
        for block in &self.blocks {
            block.attn.count(tokens, macs);
            macs.rows(&block.mlp.fc1, tokens);
            macs.rows(&block.mlp.fc2, tokens);
        }
        for head in std::iter::once(&self.head).chain(&self.head_dist) {
            macs.linear(head);
        }
    }

    /// timm calls the last normalisation `fc_norm` where it comes after a mean.
    fn pytorch_key(&self, path: &str) -> String {
        match (self.config.pooling, path.strip_prefix("norm.")) {
            (VitPooling::Mean, Some(rest)) => format!("fc_norm.{rest}"),
            _ => path.to_owned(),
        }
    }

    fn spellings(&self, own: &[String]) -> Vec<Spelling> {
        tables::spellings(own, self.config.distilled)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.origin)
    }

    fn set_origin(&mut self, origin: Origin) {
        self.origin = origin;
    }

    fn epsilon(&self) -> Option<f64> {
        self.other_epsilon
    }

    fn set_epsilon(&mut self, epsilon: Option<f64>) -> bool {
        let own = self.origin.epsilon(self.config.layer_scale.is_some());
        self.other_epsilon = epsilon.filter(|epsilon| *epsilon != own);
        true
    }

    fn elsewhere(
        &self,
        program: Origin,
        _: Option<&str>,
        own: &[String],
    ) -> Result<Elsewhere, String> {
        Described::of(self).within(program, own)
    }

    fn positions(&self) -> Option<&'static str> {
        Some("pos_embed")
    }

    /// Of a square grid.
    fn refit(&self, values: &TensorData, device: &Device) -> Option<TensorData> {
        let resize = self.origin.resize();
        let to = [self.grid, self.config.width];
        resize.refit(values, self.config.leading(), to, device)
    }

    fn classifiers(&self) -> &'static [&'static str] {
        match self.config.distilled {
            true => &["head.", "head_dist."],
            false => &["head."],
        }
    }
}
