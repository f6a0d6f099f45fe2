//! Separable convolutions that halve a map and widen it.

use burn::module::{Initializer, Module};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv, conv_bn};

use super::adapter::{convolution, drawn};

/// Twice a 3×3 convolution of each channel by itself, a 1×1 convolution, batch normalisation and a ReLU. The first
/// half has stride 2 and keeps the channels, the second has stride 1 and brings the new ones.
#[derive(Module, Debug)]
pub(super) struct Separable {
    halves: Vec<Half>,
}

#[derive(Module, Debug)]
struct Half {
    depthwise: Conv2d,
    pointwise: Conv2d,
    norm: BatchNorm,
}

impl Separable {
    /// From `channels[0]` to `channels[1]`.
    pub fn new([from, to]: [usize; 2], device: &Device) -> Self {
        Self {
            halves: vec![
                Half::new([from, from], 2, device),
                Half::new([from, to], 1, device),
            ],
        }
    }

    /// A map `[batch, channels, height, width]` with the new channels, at half the size (rounded up).
    pub fn forward(&self, map: Tensor<4>) -> Tensor<4> {
        self.halves.iter().fold(map, |map, half| {
            let map = conv(&half.depthwise, map);
            conv_bn(&half.pointwise, &half.norm, map, None, true)
        })
    }
}

impl Half {
    fn new([from, to]: [usize; 2], stride: usize, device: &Device) -> Self {
        let mut depthwise = Conv2dConfig::new([from, from], [3, 3])
            .with_stride([stride; 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
            .with_groups(from)
            .with_bias(false)
            .with_initializer(Initializer::Zeros)
            .init(device);
        depthwise.weight = drawn([from, 1, 3, 3], device);
        Self {
            depthwise,
            pointwise: convolution([from, to], 1, 1, false, device),
            norm: BatchNorm::new(to, device),
        }
    }
}
