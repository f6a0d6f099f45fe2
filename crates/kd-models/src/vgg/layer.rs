//! A layer of VGG, and a block of them.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use crate::fused::{conv, conv_bn, conv_relu};
use crate::layers::{Conv, ConvInit};

/// A 3×3 convolution with bias, and batch normalisation on request.
#[derive(Module, Debug)]
pub(super) struct Layer {
    pub conv: Conv2d,
    bn: Option<BatchNorm>,
}

impl Layer {
    pub fn new(channels: [usize; 2], normalised: bool, device: &Device) -> Self {
        let conv = Conv {
            bias: true,
            ..Conv::k3(channels, 1, ConvInit::FanOut)
        };
        Self {
            conv: conv.build(device),
            bn: normalised.then(|| BatchNorm::new(channels[1], device)),
        }
    }

    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        match &self.bn {
            Some(bn) => conv_bn(&self.conv, bn, x, None, relu),
            None if relu => conv_relu(&self.conv, x),
            None => conv(&self.conv, x),
        }
    }
}

/// A block's output after and, when asked for, before its last ReLU.
pub(super) fn run(
    layers: &[Layer],
    mut x: Tensor<4>,
    preact: bool,
) -> (Tensor<4>, Option<Tensor<4>>) {
    for (index, layer) in layers.iter().enumerate() {
        if preact && index + 1 == layers.len() {
            let preact = layer.forward(x, false);
            return (relu(preact.clone()), Some(preact));
        }
        x = layer.forward(x, true);
    }
    (x, None)
}
