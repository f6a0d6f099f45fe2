//! ResNets for 32×32 images: three stages of basic blocks (He et al., CVPR 2016, section 4.2).

mod block;

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::conv_bn_relu;
use crate::layers::{Conv, linear, linear_normal};
use crate::macs::MacCounter;
use crate::residual;
use crate::variant::Variant;

use block::{BasicBlock, Shortcut, conv_init};

/// The plan of a [`ResNetCifar`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResNetCifarConfig {
    /// Basic blocks a stage; the depth is six times this plus two.
    pub blocks: usize,
    /// Channels of the stem and of the three stages.
    pub widths: [usize; 4],
    /// What the shortcut does where the number of channels changes.
    pub shortcut: Shortcut,
}

/// A ResNet for 32×32 images.
///
/// Levels: the stem after its ReLU (in both lists), then the output of each stage after and before
/// its last ReLU.
#[derive(Module, Debug)]
pub(crate) struct ResNetCifar {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    fc: Linear,
    #[module(skip)]
    shortcut: Shortcut,
    #[module(skip)]
    variant: Variant,
}

const fn named(
    name: &'static str,
    blocks: usize,
    widths: [usize; 4],
    shortcut: Shortcut,
) -> Named<ResNetCifarConfig> {
    Named {
        name,
        aliases: &[],
        family: match shortcut {
            Shortcut::Projection => "ResNet (CIFAR)",
            Shortcut::Padding => "ResNet (CIFAR, option A)",
        },
        reference: "He et al., CVPR 2016",
        config: ResNetCifarConfig {
            blocks,
            widths,
            shortcut,
        },
    }
}

const fn narrow(name: &'static str, blocks: usize) -> Named<ResNetCifarConfig> {
    named(name, blocks, [16, 16, 32, 64], Shortcut::Projection)
}

const fn wide(name: &'static str, blocks: usize) -> Named<ResNetCifarConfig> {
    named(name, blocks, [32, 64, 128, 256], Shortcut::Projection)
}

const fn option_a(name: &'static str, blocks: usize) -> Named<ResNetCifarConfig> {
    named(name, blocks, [16, 16, 32, 64], Shortcut::Padding)
}

impl ResNetCifar {
    fn stages(&self) -> [&Vec<BasicBlock>; 3] {
        [&self.layer1, &self.layer2, &self.layer3]
    }
}

impl Backbone for ResNetCifar {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let stem = conv_bn_relu(&self.conv1, &self.bn1, input);
        let mut recorder = Recorder::new(taps, &stem);
        let last = residual::run(self.stages(), stem, &mut recorder);
        recorder.finish(last, &self.fc)
    }
}

impl Architecture for ResNetCifar {
    type Config = ResNetCifarConfig;

    const MODELS: &'static [Named<Self::Config>] = &[
        narrow("resnet8", 1),
        narrow("resnet14", 2),
        narrow("resnet20", 3),
        narrow("resnet32", 5),
        narrow("resnet44", 7),
        narrow("resnet56", 9),
        narrow("resnet110", 18),
        wide("resnet8x4", 1),
        wide("resnet32x4", 5),
        option_a("resnet20_a", 3),
        option_a("resnet32_a", 5),
        option_a("resnet44_a", 7),
        option_a("resnet56_a", 9),
        option_a("resnet110_a", 18),
    ];

    fn new(config: &ResNetCifarConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let ResNetCifarConfig {
            blocks,
            widths,
            shortcut,
        } = *config;
        let stage = |index: usize, stride: usize| {
            let channels = [widths[index - 1], widths[index]];
            residual::stage(blocks, channels, stride, |channels, stride| {
                BasicBlock::new(channels, stride, shortcut, device)
            })
        };
        let mut fc = linear(widths[3], classes, device);
        if shortcut == Shortcut::Padding {
            // The option A reference draws the classifier's weight as it does convolutions.
            let std = (2.0 / widths[3] as f64).sqrt();
            fc.weight = linear_normal(widths[3], classes, std, device).weight;
        }
        Self {
            conv1: Conv::k3([channels, widths[0]], 1, conv_init(shortcut)).build(device),
            bn1: BatchNorm::new(widths[0], device),
            layer1: stage(1, 1),
            layer2: stage(2, 2),
            layer3: stage(3, 2),
            fc,
            shortcut,
            variant: Variant::default(),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        residual::count(self.stages(), macs);
        macs.linear(&self.fc);
    }

    fn norm(&self) -> Option<&BatchNorm> {
        Some(&self.bn1)
    }

    fn norms(&mut self) -> Vec<&mut BatchNorm> {
        let stages = [&mut self.layer1, &mut self.layer2, &mut self.layer3];
        let blocks = stages.into_iter().flatten();
        let norms = blocks.flat_map(BasicBlock::norms);
        norms.chain([&mut self.bn1]).collect()
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn set_variant(&mut self, variant: Variant) -> bool {
        let stages = [&mut self.layer1, &mut self.layer2, &mut self.layer3];
        let blocks = stages.into_iter().flatten();
        variant.take(&mut self.variant, blocks.map(|block| &mut block.conv1))
    }

    fn pytorch_key(&self, path: &str) -> String {
        // The two references name the classifier differently.
        match (self.shortcut, path.strip_prefix("fc.")) {
            (Shortcut::Padding, Some(rest)) => format!("linear.{rest}"),
            _ => path.to_owned(),
        }
    }
}
