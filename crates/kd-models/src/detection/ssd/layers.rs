//! The layers of SSD300.

use burn::module::{Initializer, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::draw;
use kd_kernels::max_pool;

use super::{STAGES, Ssd, SsdConfig};
use crate::fused::conv_relu;

/// Channels of the trunk's stages; conv5 has those of the last.
const WIDTHS: [usize; 4] = [64, 128, 256, 512];
/// Channels of fc6 and fc7.
const FC: usize = 1024;
/// Channels within and after each extra pair, and whether its second convolution has stride 2.
const EXTRAS: [([usize; 2], bool); 4] = [
    ([256, 512], true),
    ([128, 256], true),
    ([128, 256], false),
    ([128, 256], false),
];
/// Length of the normalised vectors of conv4_3 at the start.
const LENGTH: f64 = 20.0;

/// A convolution: kernel, stride, padding and dilation.
struct Shape([usize; 4]);

/// With Xavier's uniform weights and no bias at the start, as torchvision draws what is not from VGG. (VGG's own
/// convolutions are drawn likewise: a network without the pre-trained trunk has no reference.)
fn convolution(channels: [usize; 2], shape: Shape, device: &Device) -> Conv2d {
    let [from, to] = channels;
    let Shape([kernel, stride, padding, dilation]) = shape;
    let area = kernel * kernel;
    let mut conv = Conv2dConfig::new(channels, [kernel; 2])
        .with_stride([stride; 2])
        .with_padding(PaddingConfig2d::Explicit(
            padding, padding, padding, padding,
        ))
        .with_dilation([dilation; 2])
        .with_initializer(Initializer::Zeros)
        .init(device);
    let bound = (6.0 / ((from + to) * area) as f64).sqrt();
    conv.weight = draw::uniform([to, from, kernel, kernel], bound, device);
    conv.bias = Some(Initializer::Zeros.init([to], device));
    conv
}

fn k3(channels: [usize; 2], device: &Device) -> Conv2d {
    convolution(channels, Shape([3, 1, 1, 1]), device)
}

fn k1(channels: [usize; 2], device: &Device) -> Conv2d {
    convolution(channels, Shape([1, 1, 0, 1]), device)
}

pub(super) fn build(config: &SsdConfig, device: &Device) -> Ssd {
    let wide = |channels: usize| channels / config.divisor;
    let mut inputs = 3;
    let mut trunk = Vec::new();
    for (count, width) in STAGES.into_iter().zip(WIDTHS) {
        for _ in 0..count {
            trunk.push(k3([inputs, wide(width)], device));
            inputs = wide(width);
        }
    }
    let last = inputs;
    let fc = wide(FC);
    let mut maps = vec![last, fc];
    let extras = EXTRAS.map(|([narrow, outputs], strided)| {
        let inputs = maps[maps.len() - 1];
        maps.push(wide(outputs));
        let second = match strided {
            true => Shape([3, 2, 1, 1]),
            false => Shape([3, 1, 0, 1]),
        };
        (
            k1([inputs, wide(narrow)], device),
            convolution([wide(narrow), wide(outputs)], second, device),
        )
    });
    let heads = |width: usize| {
        let maps = maps.iter().enumerate();
        maps.map(|(level, channels)| k3([*channels, config.boxes.a_cell(level) * width], device))
            .collect()
    };
    Ssd {
        trunk,
        scale_weight: Initializer::Constant { value: LENGTH }.init([last], device),
        conv5: (0..3).map(|_| k3([last, last], device)).collect(),
        fc6: convolution([last, fc], Shape([3, 1, 6, 6]), device),
        fc7: k1([fc, fc], device),
        extras: extras.into(),
        classification: heads(config.classes),
        regression: heads(4),
        config: config.clone(),
    }
}

/// Convolutions with a ReLU each, one after another.
pub(super) fn chain<'a>(convs: impl Iterator<Item = &'a Conv2d>, x: Tensor<4>) -> Tensor<4> {
    convs.fold(x, |x, conv| conv_relu(conv, x))
}

/// Half the height and width by the largest of 2×2; an odd last row and column are kept or dropped.
pub(super) fn halved(x: Tensor<4>, keep_last: bool) -> Tensor<4> {
    let options = MaxPoolOptions::new([2, 2])
        .with_stride([2, 2])
        .with_ceil_mode(keep_last);
    max_pool(x, options)
}

/// The largest of 3×3 at every pixel.
pub(super) fn kept(x: Tensor<4>) -> Tensor<4> {
    let options = MaxPoolOptions::new([3, 3])
        .with_stride([1, 1])
        .with_padding([1, 1]);
    max_pool(x, options)
}

/// Each pixel's channels as a vector of length 1, times a factor a channel.
pub(super) fn scaled_to(factors: &Param<Tensor<1>>, x: Tensor<4>, least: f64) -> Tensor<4> {
    let [_, channels, ..] = x.dims();
    let squares = x.clone().square().sum_dim(1);
    // A root has no gradient at 0, and a vector of zeros no direction.
    let length = squares.clamp_min(least * least).sqrt();
    x / length * factors.val().reshape([1, channels, 1, 1])
}
