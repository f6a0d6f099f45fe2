//! Wide residual networks (Zagoruyko and Komodakis, BMVC 2016).

use burn::module::{Initializer, Module};
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::add;
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::{conv, conv_bn_relu};
use crate::layers::{Conv, ConvInit, linear};
use crate::macs::MacCounter;
use crate::residual;

const INIT: ConvInit = ConvInit::FanOut;

/// The plan of a [`WideResNet`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct WideResNetConfig {
    /// Layers; four more than a multiple of six.
    pub depth: usize,
    /// Factor on the channels of the three groups.
    pub widen: usize,
}

/// Batch normalisation and ReLU before each of two 3×3 convolutions.
#[derive(Module, Debug)]
struct Block {
    bn1: BatchNorm,
    conv1: Conv2d,
    bn2: BatchNorm,
    conv2: Conv2d,
    conv_shortcut: Option<Conv2d>,
}

impl Block {
    fn new(channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let [inputs, outputs] = channels;
        Self {
            bn1: BatchNorm::new(inputs, device),
            conv1: Conv::k3(channels, stride, INIT).build(device),
            bn2: BatchNorm::new(outputs, device),
            conv2: Conv::k3([outputs, outputs], 1, INIT).build(device),
            conv_shortcut: (inputs != outputs)
                .then(|| Conv::k1(channels, stride, INIT).build(device)),
        }
    }

    /// The block's output, given its input and that input after `bn1` and the ReLU.
    fn forward(&self, x: Tensor<4>, active: Tensor<4>) -> Tensor<4> {
        let branch = conv_bn_relu(&self.conv1, &self.bn2, active.clone());
        let shortcut = match &self.conv_shortcut {
            Some(shortcut) => conv(shortcut, active),
            None => x,
        };
        add(conv(&self.conv2, branch), shortcut)
    }
}

/// Blocks of equal width.
#[derive(Module, Debug)]
struct Group {
    layer: Vec<Block>,
}

impl Group {
    fn new(blocks: usize, channels: [usize; 2], stride: usize, device: &Device) -> Self {
        let block = |channels, stride| Block::new(channels, stride, device);
        Self {
            layer: residual::stage(blocks, channels, stride, block),
        }
    }

    /// The group's output and, when asked for, its input after the first batch normalisation.
    fn forward(&self, mut x: Tensor<4>, preact: bool) -> (Tensor<4>, Option<Tensor<4>>) {
        let mut first = None;
        for (index, block) in self.layer.iter().enumerate() {
            let (active, normalised) = normalise(&block.bn1, x.clone(), preact && index == 0);
            first = first.or(normalised);
            x = block.forward(x, active);
        }
        (x, first)
    }
}

/// A map after batch normalisation and ReLU and, when asked for, before the ReLU.
fn normalise(bn: &BatchNorm, x: Tensor<4>, preact: bool) -> (Tensor<4>, Option<Tensor<4>>) {
    if preact {
        let normalised = bn.forward(x);
        (relu(normalised.clone()), Some(normalised))
    } else {
        (bn.forward_then(x, None, true), None)
    }
}

/// A wide residual network.
///
/// Levels: the first convolution's output (in both lists), then the raw output of each group.
/// Before the activation, a group's level is its output after the batch normalisation that comes
/// next in the network: the next group's first, or the final one. The reference runs those
/// layers a second time to get these maps, so that in training their running statistics move
/// twice a step; here each runs once and the map is taken on the way. Values in evaluation are
/// the same; running statistics of a trained network are those of a plain wide ResNet.
#[derive(Module, Debug)]
pub(crate) struct WideResNet {
    conv1: Conv2d,
    block1: Group,
    block2: Group,
    block3: Group,
    bn1: BatchNorm,
    fc: Linear,
}

const fn named(name: &'static str, depth: usize, widen: usize) -> Named<WideResNetConfig> {
    Named {
        name,
        aliases: &[],
        family: "Wide ResNet",
        reference: "Zagoruyko and Komodakis, BMVC 2016",
        config: WideResNetConfig { depth, widen },
    }
}

impl Backbone for WideResNet {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let mut x = conv(&self.conv1, input);
        let mut recorder = Recorder::new(taps, &x);
        for (index, group) in [&self.block1, &self.block2, &self.block3]
            .into_iter()
            .enumerate()
        {
            // The first group's input is the stem, whose level is recorded already.
            let previous = index > 0;
            let (out, normalised_input) = group.forward(x, previous && recorder.wants_preact());
            if previous {
                recorder.preact(normalised_input);
            }
            recorder.map(&out);
            x = out;
        }
        let (active, normalised) = normalise(&self.bn1, x, recorder.wants_preact());
        recorder.preact(normalised);
        recorder.finish(active, &self.fc)
    }
}

impl Architecture for WideResNet {
    type Config = WideResNetConfig;

    const MODELS: &'static [Named<Self::Config>] = &[
        named("wrn_16_1", 16, 1),
        named("wrn_16_2", 16, 2),
        named("wrn_40_1", 40, 1),
        named("wrn_40_2", 40, 2),
    ];

    fn new(config: &WideResNetConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let blocks = (config.depth - 4) / 6;
        let widths = [16, 16 * config.widen, 32 * config.widen, 64 * config.widen];
        let mut fc = linear(widths[3], classes, device);
        fc.bias = Some(Initializer::Zeros.init([classes], device));
        Self {
            conv1: Conv::k3([channels, widths[0]], 1, INIT).build(device),
            block1: Group::new(blocks, [widths[0], widths[1]], 1, device),
            block2: Group::new(blocks, [widths[1], widths[2]], 2, device),
            block3: Group::new(blocks, [widths[2], widths[3]], 2, device),
            bn1: BatchNorm::new(widths[3], device),
            fc,
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        macs.conv(&self.conv1);
        for group in [&self.block1, &self.block2, &self.block3] {
            for block in &group.layer {
                let input = macs.size();
                macs.conv(&block.conv1).conv(&block.conv2);
                if let Some(conv) = &block.conv_shortcut {
                    macs.branch(input, conv);
                }
            }
        }
        macs.linear(&self.fc);
    }

    fn pytorch_key(&self, path: &str) -> String {
        path.replace("conv_shortcut", "convShortcut")
    }
}
