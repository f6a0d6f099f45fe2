//! Layers as the reference networks build and initialise them.

use burn::module::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Linear, PaddingConfig2d};
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{Device, Tensor};
use kd_core::draw;
use kd_kernels::max_pool;

/// How a reference draws the weights of its convolutions.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ConvInit {
    /// Normal, standard deviation `sqrt(2 / (kernel area · output channels))` (He et al., ICCV 2015).
    FanOut,
    /// Normal, standard deviation `sqrt(2 / (kernel area · input channels))`.
    FanIn,
    /// PyTorch's default: uniform within `1 / sqrt(fan in)`.
    Default,
}

/// A convolution to be built; square kernel, padded so that stride 1 keeps the size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Conv {
    pub channels: [usize; 2],
    pub kernel: usize,
    pub stride: usize,
    pub groups: usize,
    pub bias: bool,
    pub init: ConvInit,
}

impl Conv {
    /// 3×3 without bias.
    pub fn k3(channels: [usize; 2], stride: usize, init: ConvInit) -> Self {
        Self {
            channels,
            kernel: 3,
            stride,
            groups: 1,
            bias: false,
            init,
        }
    }

    /// 1×1 without bias.
    pub fn k1(channels: [usize; 2], stride: usize, init: ConvInit) -> Self {
        Self {
            kernel: 1,
            ..Self::k3(channels, stride, init)
        }
    }

    /// 3×3 without bias, each channel by itself.
    pub fn depthwise(channels: usize, stride: usize, init: ConvInit) -> Self {
        Self {
            groups: channels,
            ..Self::k3([channels, channels], stride, init)
        }
    }

    /// With weights drawn as its initialisation says; a bias starts at zero unless the
    /// initialisation is PyTorch's default.
    pub fn build(self, device: &Device) -> Conv2d {
        let area = self.kernel * self.kernel;
        let padding = self.kernel / 2;
        let [inputs, outputs] = self.channels;
        let fan_in = area * inputs / self.groups;
        let shape = [outputs, inputs / self.groups, self.kernel, self.kernel];
        let mut conv = Conv2dConfig::new(self.channels, [self.kernel; 2])
            .with_stride([self.stride; 2])
            .with_groups(self.groups)
            .with_padding(PaddingConfig2d::Explicit(
                padding, padding, padding, padding,
            ))
            .init(device);
        let normal = |fan: usize| draw::normal(shape, (2.0 / fan as f64).sqrt(), device);
        let bound = 1.0 / (fan_in as f64).sqrt();
        conv.weight = match self.init {
            ConvInit::FanOut => normal(area * outputs),
            ConvInit::FanIn => normal(fan_in),
            ConvInit::Default => draw::uniform(shape, bound, device),
        };
        conv.bias = self.bias.then(|| match self.init {
            ConvInit::Default => draw::uniform([outputs], bound, device),
            _ => Initializer::Zeros.init([outputs], device),
        });
        conv
    }
}

/// PyTorch's default classifier: weight and bias uniform within `1 / sqrt(inputs)`.
pub(crate) fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let bound = 1.0 / (inputs as f64).sqrt();
    Linear {
        bias: Some(draw::uniform([outputs], bound, device)),
        weight: draw::uniform([inputs, outputs], bound, device),
    }
}

/// A classifier with normal weights and a zero bias.
pub(crate) fn linear_normal(inputs: usize, outputs: usize, std: f64, device: &Device) -> Linear {
    Linear {
        bias: Some(Initializer::Zeros.init([outputs], device)),
        weight: draw::normal([inputs, outputs], std, device),
    }
}

/// A classifier with weights uniform within `bound` and a zero bias.
pub(crate) fn linear_uniform(inputs: usize, outputs: usize, bound: f64, device: &Device) -> Linear {
    Linear {
        bias: Some(Initializer::Zeros.init([outputs], device)),
        weight: draw::uniform([inputs, outputs], bound, device),
    }
}

/// The pooling of stems for large images: the largest of 3×3, at every second pixel.
pub(crate) fn stem_pool(x: Tensor<4>) -> Tensor<4> {
    let options = MaxPoolOptions::new([3, 3])
        .with_stride([2, 2])
        .with_padding([1, 1]);
    max_pool(x, options)
}

/// Mean over height and width: `[batch, channels, height, width]` to `[batch, channels]`.
pub(crate) fn global_average(x: Tensor<4>) -> Tensor<2> {
    kd_kernels::global_average(x)
}

/// Deals the channels of `groups` equal parts out in turn (Zhang et al., CVPR 2018).
pub(crate) fn shuffle_channels(x: Tensor<4>, groups: usize) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    x.reshape([batch, groups, channels / groups, height, width])
        .swap_dims(1, 2)
        .reshape([batch, channels, height, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_interleaves_the_groups() {
        let device = Device::flex();
        let x =
            Tensor::<1>::from_floats([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], &device).reshape([1, 6, 1, 1]);
        let shuffled: Vec<f32> = shuffle_channels(x, 3).into_data().iter().collect();
        assert_eq!(shuffled, [0.0, 2.0, 4.0, 1.0, 3.0, 5.0]);
    }

    #[test]
    fn weights_have_the_deviation_of_the_reference() {
        let device = Device::flex();
        draw::seed(1);
        let deviation = |conv: Conv| {
            let weight = conv.build(&device).weight.val();
            weight.square().mean().into_scalar::<f32>().sqrt()
        };
        let out = deviation(Conv::k3([64, 128], 1, ConvInit::FanOut));
        assert!((out / (2.0f32 / 1152.0).sqrt() - 1.0).abs() < 0.02, "{out}");
        let inside = deviation(Conv::k3([64, 128], 1, ConvInit::FanIn));
        assert!(
            (inside / (2.0f32 / 576.0).sqrt() - 1.0).abs() < 0.02,
            "{inside}"
        );
        let uniform = deviation(Conv::k3([64, 128], 1, ConvInit::Default));
        assert!(
            (uniform / (1.0f32 / (3.0 * 576.0)).sqrt() - 1.0).abs() < 0.02,
            "{uniform}"
        );
    }
}
