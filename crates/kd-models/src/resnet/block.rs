//! The blocks of a ResNet: two 3×3 convolutions, or a bottleneck.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;

use super::{EXPANSION, INIT};
use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::Conv;
use crate::macs::MacCounter;
use crate::residual::ResidualBlock;
use crate::variant::Variant;

/// A basic block, or a bottleneck when there is a third convolution.
#[derive(Module, Debug)]
pub(crate) struct Block {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Option<Conv2d>,
    bn3: Option<BatchNorm>,
    shortcut: Option<(Conv2d, BatchNorm)>,
}

impl Block {
    /// `width` channels in the middle of a bottleneck, and of everything in a basic block.
    pub fn new(
        inputs: usize,
        width: usize,
        stride: usize,
        bottleneck: bool,
        device: &Device,
    ) -> Self {
        let outputs = if bottleneck { EXPANSION * width } else { width };
        let (first, second) = if bottleneck {
            (
                Conv::k1([inputs, width], 1, INIT),
                Conv::k3([width, width], stride, INIT),
            )
        } else {
            (
                Conv::k3([inputs, width], stride, INIT),
                Conv::k3([width, width], 1, INIT),
            )
        };
        Self {
            conv1: first.build(device),
            bn1: BatchNorm::new(width, device),
            conv2: second.build(device),
            bn2: BatchNorm::new(width, device),
            conv3: bottleneck.then(|| Conv::k1([width, outputs], 1, INIT).build(device)),
            bn3: bottleneck.then(|| BatchNorm::new(outputs, device)),
            shortcut: (stride != 1 || inputs != outputs).then(|| {
                (
                    Conv::k1([inputs, outputs], stride, INIT).build(device),
                    BatchNorm::new(outputs, device),
                )
            }),
        }
    }

    /// Strides and pads as this says.
    pub fn set_variant(&mut self, variant: Variant) {
        if self.is_bottleneck() {
            let stride = [self.conv1.stride[0] * self.conv2.stride[0]; 2];
            (self.conv1.stride, self.conv2.stride) = match variant.first_strides {
                true => (stride, [1, 1]),
                false => ([1, 1], stride),
            };
        }
        variant.pad(&mut self.conv1);
        variant.pad(&mut self.conv2);
    }

    pub fn norms(&mut self) -> impl Iterator<Item = &mut BatchNorm> {
        let shortcut = self.shortcut.as_mut().map(|(_, norm)| norm);
        let both = [&mut self.bn1, &mut self.bn2].into_iter();
        both.chain(&mut self.bn3).chain(shortcut)
    }

    /// Channels of what it gives.
    pub fn outputs(&self) -> usize {
        let last = self.conv3.as_ref().unwrap_or(&self.conv2);
        last.weight.lazy_shape()[0]
    }

    pub fn is_bottleneck(&self) -> bool {
        self.conv3.is_some()
    }
}

impl ResidualBlock for Block {
    fn forward(&self, x: Tensor<4>, relu: bool) -> Tensor<4> {
        let branch = conv_bn_relu(&self.conv1, &self.bn1, x.clone());
        let shortcut = match &self.shortcut {
            Some((conv, bn)) => conv_bn(conv, bn, x, None, false),
            None => x,
        };
        if let (Some(conv3), Some(bn3)) = (&self.conv3, &self.bn3) {
            let branch = conv_bn_relu(&self.conv2, &self.bn2, branch);
            conv_bn(conv3, bn3, branch, Some(shortcut), relu)
        } else {
            conv_bn(&self.conv2, &self.bn2, branch, Some(shortcut), relu)
        }
    }

    fn count(&self, macs: &mut MacCounter) {
        let input = macs.size();
        macs.conv(&self.conv1).conv(&self.conv2);
        if let Some(conv3) = &self.conv3 {
            macs.conv(conv3);
        }
        if let Some((conv, _)) = &self.shortcut {
            macs.branch(input, conv);
        }
    }
}
