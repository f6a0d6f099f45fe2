//! The block of ResNets for 32×32 images, and its two kinds of shortcut.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor, s};
use kd_kernels::layers::BatchNorm;

use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit};
use crate::macs::MacCounter;
use crate::residual::ResidualBlock;

/// What the shortcut does where the number of channels changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// Option A: every second pixel, new channels zero; no parameters.
    Padding,
    /// Option B: a strided 1×1 convolution and batch normalisation.
    Projection,
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
pub(crate) struct BasicBlock {
    pub conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
    #[module(skip)]
    padding: Option<Padding>,
}

impl BasicBlock {
    pub fn new(channels: [usize; 2], stride: usize, shortcut: Shortcut, device: &Device) -> Self {
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

    pub fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
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

/// How the reference of a shortcut draws the weights of convolutions.
pub(crate) fn conv_init(shortcut: Shortcut) -> ConvInit {
    match shortcut {
        Shortcut::Padding => ConvInit::FanIn,
        Shortcut::Projection => ConvInit::FanOut,
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
