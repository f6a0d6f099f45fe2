//! A transformer of one's own learns from one of the registry: what it has to show, so that losses on logits, tokens,
//! attention, maps and embeddings work with it. Data, loader, trainer, run folder and report are the toolkit's.
//!
//! `cargo run -p kd-train --example own_transformer` writes `runs/own-transformer/report.html`.

use burn::module::{Module, Param};
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use kd_core::terms::cross_entropy::CrossEntropyConfig;
use kd_core::terms::kd::KdConfig;
use kd_core::terms::tinybert_hidden::TinyBertHiddenConfig;
use kd_core::{ObjectiveConfig, Output, Part, Taps, TermEntry, draw};
use kd_data::DataConfig;
use kd_models::{Backbone, Network};
use kd_train::{
    DataShape, Error, ImageClassification, ImageNetwork, Recipe, RunOptions, Silent, TeacherSpec,
    TrainConfig, run_task,
};

/// Pixels of a patch along a side, as the teacher's: then both have as many tokens.
const PATCH: usize = 4;
/// Images of 28 pixels have 7 patches along a side.
const SIDE: usize = 7;
const WIDTH: usize = 48;

/// A block that normalises before its branches.
#[derive(Module, Debug)]
struct Block {
    norm1: LayerNorm,
    attention: MultiHeadAttention,
    norm2: LayerNorm,
    wide: Linear,
    narrow: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        Self {
            norm1: LayerNormConfig::new(WIDTH).init(device),
            attention: MultiHeadAttentionConfig::new(WIDTH, 3)
                .with_dropout(0.0)
                .init(device),
            norm2: LayerNormConfig::new(WIDTH).init(device),
            wide: LinearConfig::new(WIDTH, 2 * WIDTH).init(device),
            narrow: LinearConfig::new(2 * WIDTH, WIDTH).init(device),
        }
    }

    fn forward(&self, x: Tensor<3>, output: &mut Output, taps: &Taps) -> Tensor<3> {
        let inner = self.norm1.forward(x.clone());
        let mixed = self.attention.forward(MhaInput::self_attn(inner));
        // After the softmax, `[batch, heads, tokens, tokens]`. Losses that want another part, such as values, say so.
        output.push(Part::Attentions, &mixed.weights, taps);
        let x = x + mixed.context;
        let inner = gelu(self.wide.forward(self.norm2.forward(x.clone())));
        x + self.narrow.forward(inner)
    }
}

/// A small vision transformer.
#[derive(Module, Debug)]
struct Small {
    patches: Conv2d,
    class: Param<Tensor<3>>,
    positions: Param<Tensor<3>>,
    blocks: Vec<Block>,
    norm: LayerNorm,
    classifier: Linear,
}

impl Small {
    fn new(data: &DataShape, device: &Device) -> Self {
        let learned = |tokens| draw::normal([1, tokens, WIDTH], 0.02, device);
        Self {
            patches: Conv2dConfig::new([data.channels, WIDTH], [PATCH; 2])
                .with_stride([PATCH; 2])
                .init(device),
            class: learned(1),
            positions: learned(1 + SIDE * SIDE),
            blocks: (0..3).map(|_| Block::new(device)).collect(),
            norm: LayerNormConfig::new(WIDTH).init(device),
            classifier: LinearConfig::new(WIDTH, data.classes).init(device),
        }
    }

    /// The tokens of a level, and the patches among them as a map: every loss on maps works with it.
    fn show(tokens: &Tensor<3>, output: &mut Output, taps: &Taps) {
        let [batch, count, width] = tokens.dims();
        output.push(Part::Tokens, tokens, taps);
        output.push_with(Part::Maps, taps, || {
            let patches = tokens.clone().narrow(1, 1, count - 1).swap_dims(1, 2);
            patches.reshape([batch, width, SIDE, SIDE])
        });
    }
}

impl Backbone for Small {
    type Input = Tensor<4>;

    fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        let [batch, ..] = images.dims();
        let patches: Tensor<3> = self.patches.forward(images).flatten(2, 3);
        let class = self.class.val().expand([batch, 1, WIDTH]);
        let tokens = Tensor::cat(vec![class, patches.swap_dims(1, 2)], 1);
        let mut x = tokens + self.positions.val();
        // The logits come last, so the parts are collected beside a placeholder.
        let mut output = Output::new(Tensor::zeros([0, 0], &x.device()));
        Self::show(&x, &mut output, taps);
        for block in &self.blocks {
            x = block.forward(x, &mut output, taps);
            Self::show(&x, &mut output, taps);
        }
        let embedding: Tensor<2> = self.norm.forward(x.narrow(1, 0, 1)).squeeze_dim(1);
        output.push(Part::Embedding, &embedding, taps);
        output.logits = self.classifier.forward(embedding);
        output
    }
}

/// All networks of the run: the own one, and those of the registry.
#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant, reason = "a run has a handful of networks")]
enum AnyNetwork {
    Small(Small),
    Registered(Network),
}

impl Backbone for AnyNetwork {
    type Input = Tensor<4>;

    fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        match self {
            Self::Small(network) => network.forward(images, taps),
            Self::Registered(network) => network.forward(images, taps),
        }
    }
}

impl ImageNetwork for AnyNetwork {
    fn build(model: &str, data: &DataShape, device: &Device) -> Result<Self, Error> {
        match model {
            "small" => Ok(Self::Small(Small::new(data, device))),
            _ => Network::build(model, data, device).map(Self::Registered),
        }
    }
}

/// Runs the example.
pub fn main() -> Result<(), Box<dyn std::error::Error>> {
    run_in("runs/own-transformer")?;
    Ok(())
}

/// Trains a teacher for an epoch, the student alone, and the student with losses on logits and tokens.
pub fn run_in(folder: &str) -> Result<kd_train::Summary, Error> {
    let data = DataConfig {
        train_limit: Some(256),
        test_limit: Some(128),
        ..DataConfig::default()
    };
    let task = ImageClassification::<AnyNetwork>::load(&data, &mut Silent)?;
    let objective = ObjectiveConfig::default()
        .with(
            "cross_entropy",
            TermEntry::new(CrossEntropyConfig::default()),
        )
        .with("kd", TermEntry::new(KdConfig::default()).with_weight(0.9))
        .with(
            "tinybert_hidden",
            TermEntry::new(TinyBertHiddenConfig::default()).with_weight(0.1),
        );
    let train = TrainConfig::new(2, 0.01);
    let mut recipe = Recipe::new("own-transformer", "small", objective, train);
    recipe.data = data;
    recipe.teacher = Some(TeacherSpec::new("vit_p4_d6_w192_mlp2"));
    let options = RunOptions {
        out: folder.into(),
        seeds: 1,
        device_name: "flex".into(),
        reuse: false,
        resume: false,
    };
    let device = Device::flex();
    run_task(&task, &recipe, &options, &device, &mut Silent)
}
