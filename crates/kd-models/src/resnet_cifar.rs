//! ResNets for 32×32 images: three stages of basic blocks (He et al., CVPR 2016, section 4.2).

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, s};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit, linear, linear_normal};
use crate::macs::MacCounter;
use crate::residual::{self, ResidualBlock};
use crate::variant::Variant;

/// What the references add to variances.
const EPSILON: f64 = 1e-5;

/// What the shortcut does where the number of channels changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// Option A: every second pixel, new channels zero; no parameters.
    Padding,
    /// Option B: a strided 1×1 convolution and batch normalisation.
    Projection,
}

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

/// Where option A sends its input.
#[derive(Clone, Copy, Debug)]
struct Padding {
    stride: usize,
    before: usize,
    after: usize,
}

/// Two 3×3 convolutions and a shortcut.
#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
    #[module(skip)]
    padding: Option<Padding>,
}

impl BasicBlock {
    fn new(channels: [usize; 2], stride: usize, shortcut: Shortcut, device: &Device) -> Self {
        let [inputs, outputs] = channels;
        let init = conv_init(shortcut);
        let changes = stride != 1 || inputs != outputs;
        let extra = outputs.saturating_sub(inputs);
        Self {
            conv1: Conv::k3(channels, stride, init).build(device),
            bn1: BatchNorm::new(outputs, device),
            conv2: Conv::k3([outputs, outputs], 1, init).build(device),
            bn2: BatchNorm::new(outputs, device),
            downsample: (changes && shortcut == Shortcut::Projection).then(|| {
                (
                    Conv::k1(channels, stride, init).build(device),
                    BatchNorm::new(outputs, device),
                )
            }),
            padding: (changes && shortcut == Shortcut::Padding).then_some(Padding {
                stride,
                before: extra / 2,
                after: extra - extra / 2,
            }),
        }
    }

    fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let shortcut = self.downsample.as_mut().map(|(_, norm)| norm);
        [&mut self.bn1, &mut self.bn2].into_iter().chain(shortcut)
    }
}

impl ResidualBlock for BasicBlock {
    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        let branch = conv_bn_relu(&self.conv1, &self.bn1, x.clone());
        let shortcut = match (&self.downsample, self.padding) {
            (Some((conv, bn)), _) => conv_bn(conv, bn, x, None, false),
            (None, Some(padding)) => pad(x, padding),
            (None, None) => x,
        };
        conv_bn(&self.conv2, &self.bn2, branch, Some(shortcut), relu)
    }

    fn count(&self, macs: &mut MacCounter) {
        let input = macs.size();
        macs.conv(&self.conv1).conv(&self.conv2);
        if let Some((conv, _)) = &self.downsample {
            macs.branch(input, conv);
        }
    }
}

fn pad(x: Tensor<4>, padding: Padding) -> Tensor<4> {
    let stride = padding.stride as isize;
    let x = x.slice(s![.., .., ..;stride, ..;stride]);
    let [batch, _, height, width] = x.dims();
    let zeros = |channels| Tensor::zeros([batch, channels, height, width], &x.device());
    let (before, after) = (zeros(padding.before), zeros(padding.after));
    Tensor::cat(vec![before, x, after], 1)
}

fn conv_init(shortcut: Shortcut) -> ConvInit {
    match shortcut {
        Shortcut::Padding => ConvInit::FanIn,
        Shortcut::Projection => ConvInit::FanOut,
    }
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

    fn blocks_mut(&mut self) -> impl Iterator<Item = &mut BasicBlock> {
        let stages = [&mut self.layer1, &mut self.layer2, &mut self.layer3];
        stages.into_iter().flatten()
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

    fn epsilon(&self) -> Option<f64> {
        let epsilon = self.bn1.epsilon;
        (epsilon != EPSILON).then_some(epsilon)
    }

    fn set_epsilon(&mut self, epsilon: Option<f64>) -> bool {
        let epsilon = epsilon.unwrap_or(EPSILON);
        self.bn1.epsilon = epsilon;
        let norms = self.blocks_mut().flat_map(BasicBlock::norms);
        norms.for_each(|norm| norm.epsilon = epsilon);
        true
    }

    fn variant(&self) -> Variant {
        self.variant
    }

    fn set_variant(&mut self, variant: Variant) -> bool {
        if variant.first_strides {
            return false;
        }
        self.variant = variant;
        self.blocks_mut()
            .for_each(|block| variant.pad(&mut block.conv1));
        true
    }

    fn pytorch_key(&self, path: &str) -> String {
        // The two references name the classifier differently.
        match (self.shortcut, path.strip_prefix("fc.")) {
            (Shortcut::Padding, Some(rest)) => format!("linear.{rest}"),
            _ => path.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn option_a_takes_every_second_pixel_and_centres_the_channels() {
        let device = Device::flex().autodiff();
        let x = Tensor::<1>::from_floats([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0], &device)
            .reshape([1, 1, 3, 3])
            .require_grad();
        let padding = Padding {
            stride: 2,
            before: 1,
            after: 1,
        };
        let y = pad(x.clone(), padding);
        assert_eq!(y.dims(), [1, 3, 2, 2]);
        let values: Vec<f32> = y.clone().into_data().iter().collect();
        assert_eq!(
            values,
            [0.0, 0.0, 0.0, 0.0, 1.0, 3.0, 7.0, 9.0, 0.0, 0.0, 0.0, 0.0]
        );
        let gradients = y.square().sum().backward();
        let gradient: Vec<f32> = x.grad(&gradients).unwrap().into_data().iter().collect();
        assert_eq!(
            gradient,
            [2.0, 0.0, 6.0, 0.0, 0.0, 0.0, 14.0, 0.0, 18.0],
            "gradient of the sum of squares"
        );
    }
}
