//! ResNets of four stages, for small and for large images (He et al., CVPR 2016).

mod block;

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;
use serde_json::{Value, json};

use crate::architecture::{Architecture, Named, torchvision};
use crate::backbone::{Backbone, Recorder};
use crate::elsewhere::{self, Elsewhere};
use crate::formats::transformers;
use crate::fused::conv_bn_relu;
use crate::layers::{Conv, ConvInit, linear, stem_pool};
use crate::macs::MacCounter;
use crate::residual;
use crate::scale::Scale::{self, Large, Small};
use crate::variant::Variant;
use crate::vit::Origin;

pub(crate) use block::Block;

const WIDTHS: [usize; 4] = [64, 128, 256, 512];
const INIT: ConvInit = ConvInit::FanOut;
/// Output channels of a bottleneck over those in its middle.
const EXPANSION: usize = 4;

/// The plan of a [`ResNet`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResNetConfig {
    /// Blocks in each stage.
    pub blocks: [usize; 4],
    /// Whether blocks are bottlenecks (1×1, 3×3, 1×1 with four times the channels) or two 3×3.
    pub bottleneck: bool,
    /// Channels of every layer are divided by this.
    pub divisor: usize,
    /// Which images it is for: the stem is a 3×3 convolution of stride 1 for small ones, and a 7×7 convolution and a
    /// pooling, each of stride 2, for large ones.
    pub scale: Scale,
}

/// A ResNet; its bottlenecks stride in the 3×3 convolution.
///
/// Levels: the stem after its ReLU and its pooling (in both lists), then the output of each of the four stages
/// after and before its last ReLU.
#[derive(Module, Debug)]
pub(crate) struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    linear: Linear,
    #[module(skip)]
    scale: Scale,
    #[module(skip)]
    variant: Variant,
}

impl ResNet {
    /// Its layers without the classifier: stem and stages.
    pub fn into_body(self) -> (Conv2d, BatchNorm, [Vec<Block>; 4]) {
        let stages = [self.layer1, self.layer2, self.layer3, self.layer4];
        (self.conv1, self.bn1, stages)
    }

    fn stages(&self) -> [&Vec<Block>; 4] {
        [&self.layer1, &self.layer2, &self.layer3, &self.layer4]
    }

    fn stages_mut(&mut self) -> [&mut Vec<Block>; 4] {
        [
            &mut self.layer1,
            &mut self.layer2,
            &mut self.layer3,
            &mut self.layer4,
        ]
    }

    /// Its configuration in the `transformers` library.
    fn described(&self) -> Value {
        let bottleneck = self.layer1[0].is_bottleneck();
        let expansion = if bottleneck { EXPANSION } else { 1 };
        json!({
            "model_type": "resnet",
            "embedding_size": WIDTHS[0],
            "hidden_sizes": WIDTHS.map(|width| width * expansion),
            "depths": self.stages().map(Vec::len),
            "layer_type": if bottleneck { "bottleneck" } else { "basic" },
            "hidden_act": "relu",
            "downsample_in_first_stage": false,
            "downsample_in_bottleneck": false,
        })
    }
}

const fn named(
    (name, aliases): (&'static str, &'static [&'static str]),
    blocks: [usize; 4],
    bottleneck: bool,
    scale: Scale,
) -> Named<ResNetConfig> {
    Named {
        name,
        aliases,
        family: "ResNet",
        reference: "He et al., CVPR 2016",
        config: ResNetConfig {
            blocks,
            bottleneck,
            divisor: 1,
            scale,
        },
    }
}

impl Backbone for ResNet {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let stem = conv_bn_relu(&self.conv1, &self.bn1, input);
        let stem = match self.scale {
            Small => stem,
            Large => stem_pool(stem),
        };
        let mut recorder = Recorder::new(taps, &stem);
        let last = residual::run(self.stages(), stem, &mut recorder);
        recorder.finish(last, &self.linear)
    }
}

impl Architecture for ResNet {
    type Config = ResNetConfig;

    const MODELS: &'static [Named<Self::Config>] = &[
        named(("resnet18", &["ResNet18"]), [2, 2, 2, 2], false, Small),
        named(("resnet50", &["ResNet50"]), [3, 4, 6, 3], true, Small),
        named(("resnet101", &["ResNet101"]), [3, 4, 23, 3], true, Small),
        named(("resnet152", &["ResNet152"]), [3, 8, 36, 3], true, Small),
        named(torchvision!("resnet18"), [2, 2, 2, 2], false, Large),
        named(torchvision!("resnet34"), [3, 4, 6, 3], false, Large),
        named(torchvision!("resnet50"), [3, 4, 6, 3], true, Large),
        named(torchvision!("resnet101"), [3, 4, 23, 3], true, Large),
        named(torchvision!("resnet152"), [3, 8, 36, 3], true, Large),
    ];

    fn image_size(config: &ResNetConfig) -> usize {
        config.scale.image_size()
    }

    fn new(config: &ResNetConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let expansion = if config.bottleneck { EXPANSION } else { 1 };
        let widths = WIDTHS.map(|width| width / config.divisor);
        let mut inputs = widths[0];
        let mut stage = |index: usize| {
            let outputs = widths[index] * expansion;
            let from = std::mem::replace(&mut inputs, outputs);
            let stride = if index == 0 { 1 } else { 2 };
            let blocks = config.blocks[index];
            residual::stage(blocks, [from, outputs], stride, |[inputs, _], stride| {
                Block::new(inputs, widths[index], stride, config.bottleneck, device)
            })
        };
        let stem = match config.scale {
            Small => Conv::k3([channels, widths[0]], 1, INIT),
            Large => Conv {
                kernel: 7,
                ..Conv::k3([channels, widths[0]], 2, INIT)
            },
        };
        Self {
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            conv1: stem.build(device),
            bn1: BatchNorm::new(widths[0], device),
            linear: linear(widths[3] * expansion, classes, device),
            scale: config.scale,
            variant: Variant::default(),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        if self.scale == Large {
            macs.stem_pool();
        }
        residual::count(self.stages(), macs);
        macs.linear(&self.linear);
    }

    fn norm(&self) -> Option<&BatchNorm> {
        Some(&self.bn1)
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        let Self {
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            ..
        } = self;
        let stages = [layer1, layer2, layer3, layer4].into_iter().flatten();
        stages.flat_map(Block::norms).chain([bn1]).collect()
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn set_variant(&mut self, variant: Variant) -> bool {
        if variant.first_strides && !self.layer1[0].is_bottleneck() {
            return false;
        }
        self.variant = variant;
        variant.pad(&mut self.conv1);
        for block in self.stages_mut().into_iter().flatten() {
            block.set_variant(variant);
        }
        true
    }

    fn elsewhere(
        &self,
        program: Origin,
        torchvision: Option<&str>,
        own: &[String],
    ) -> Result<Elsewhere, String> {
        let found = elsewhere::of_torchvision(torchvision, self.epsilon())?;
        Ok(match program {
            // timm has torchvision's names.
            Origin::Torchvision | Origin::Timm => found,
            Origin::HuggingFace => {
                Elsewhere::named("ResNetForImageClassification", transformers::spelling(own))
                    .with(self.described())
            }
        })
    }

    fn pytorch_key(&self, path: &str) -> String {
        match (self.scale, path.strip_prefix("linear.")) {
            (Small, _) => path.to_owned(),
            (Large, Some(last)) => format!("fc.{last}"),
            (Large, None) => path.replace(".shortcut.", ".downsample."),
        }
    }
}
