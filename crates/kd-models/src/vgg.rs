//! VGG with batch normalisation and a single classifier layer (Simonyan and Zisserman, ICLR 2015).

use burn::module::Module;
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::layers::BatchNorm;

use crate::architecture::{Architecture, Named};
use crate::backbone::{Backbone, Recorder};
use crate::fused::conv_bn;
use crate::layers::{Conv, ConvInit, linear_normal};
use crate::macs::MacCounter;

const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

/// Images of this height are pooled once more before the last block, as in the reference.
const TALL: usize = 64;

/// The plan of a [`Vgg`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct VggConfig {
    /// Convolutions in each block.
    pub convs: [usize; 5],
}

/// A 3×3 convolution with bias, and batch normalisation.
#[derive(Module, Debug)]
struct Layer {
    conv: Conv2d,
    bn: BatchNorm,
}

impl Layer {
    fn new(channels: [usize; 2], device: &Device) -> Self {
        let conv = Conv {
            bias: true,
            ..Conv::k3(channels, 1, ConvInit::FanOut)
        };
        Self {
            conv: conv.build(device),
            bn: BatchNorm::new(channels[1], device),
        }
    }

    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        conv_bn(&self.conv, &self.bn, x, None, relu)
    }
}

/// VGG-BN whose last pooling is global.
///
/// Levels: the first block after its ReLU (in both lists), then each of the other four blocks
/// after and before its last ReLU.
#[derive(Module, Debug)]
pub(crate) struct Vgg {
    block0: Vec<Layer>,
    block1: Vec<Layer>,
    block2: Vec<Layer>,
    block3: Vec<Layer>,
    block4: Vec<Layer>,
    classifier: Linear,
}

impl Vgg {
    fn blocks(&self) -> [&Vec<Layer>; 5] {
        [
            &self.block0,
            &self.block1,
            &self.block2,
            &self.block3,
            &self.block4,
        ]
    }
}

/// Whether a 2×2 pooling stands before a block.
fn pooled(block: usize, height: usize) -> bool {
    matches!(block, 1..=3) || (block == 4 && height == TALL)
}

/// A block's output after and, when asked for, before its last ReLU.
fn run(layers: &[Layer], mut x: Tensor<4>, preact: bool) -> (Tensor<4>, Option<Tensor<4>>) {
    for (index, layer) in layers.iter().enumerate() {
        if preact && index + 1 == layers.len() {
            let preact = layer.forward(x, false);
            return (relu(preact.clone()), Some(preact));
        }
        x = layer.forward(x, true);
    }
    (x, None)
}

const fn named(
    name: &'static str,
    aliases: &'static [&'static str],
    convs: [usize; 5],
) -> Named<VggConfig> {
    Named {
        name,
        aliases,
        family: "VGG-BN",
        reference: "Simonyan and Zisserman, ICLR 2015",
        config: VggConfig { convs },
    }
}

impl Backbone for Vgg {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, taps: &Taps) -> Output {
        let height = input.dims()[2];
        let (mut x, _) = run(&self.block0, input, false);
        let mut recorder = Recorder::new(taps, &x);
        for (index, block) in self.blocks().into_iter().enumerate().skip(1) {
            if pooled(index, height) {
                x = max_pool2d(x, MaxPoolOptions::new([2, 2]));
            }
            let (map, preact) = run(block, x, recorder.wants_preact());
            recorder.stage(&map, preact);
            x = map;
        }
        recorder.finish(x, &self.classifier)
    }
}

impl Architecture for Vgg {
    type Config = VggConfig;

    const MODELS: &'static [Named<Self::Config>] = &[
        named("vgg8", &["vgg8_bn"], [1, 1, 1, 1, 1]),
        named("vgg11", &["vgg11_bn"], [1, 1, 2, 2, 2]),
        named("vgg13", &["vgg13_bn"], [2, 2, 2, 2, 2]),
        named("vgg16", &["vgg16_bn"], [2, 2, 3, 3, 3]),
        named("vgg19", &["vgg19_bn"], [2, 2, 4, 4, 4]),
    ];

    fn new(config: &VggConfig, channels: usize, classes: usize, device: &Device) -> Self {
        let block = |index: usize| {
            let width = WIDTHS[index];
            let inputs = if index == 0 {
                channels
            } else {
                WIDTHS[index - 1]
            };
            (0..config.convs[index])
                .map(|conv| Layer::new([if conv == 0 { inputs } else { width }, width], device))
                .collect()
        };
        Self {
            block0: block(0),
            block1: block(1),
            block2: block(2),
            block3: block(3),
            block4: block(4),
            classifier: linear_normal(WIDTHS[4], classes, 0.01, device),
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        let height = macs.size()[0];
        for (index, block) in self.blocks().into_iter().enumerate() {
            if pooled(index, height) {
                macs.pool(2, 2, 0);
            }
            for layer in block {
                macs.conv(&layer.conv);
            }
        }
        macs.linear(&self.classifier);
    }

    /// `block2.1.bn.gamma` is `block2.4.gamma` in the reference, where the convolution, the
    /// normalisation and the ReLU of a layer have a place each.
    fn pytorch_key(&self, path: &str) -> String {
        let parts: Vec<&str> = path.split('.').collect();
        if let [block, layer, kind, parameter] = parts[..]
            && let Ok(layer) = layer.parse::<usize>()
        {
            let place = 3 * layer + usize::from(kind == "bn");
            return format!("{block}.{place}.{parameter}");
        }
        path.to_owned()
    }
}
