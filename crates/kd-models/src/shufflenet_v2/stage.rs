//! A stage of ShuffleNetV2: its units, and how they pass channels on.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::BatchNorm;
use kd_kernels::{channels, interleave};

use crate::fused::{conv_bn, conv_bn_relu};
use crate::layers::{Conv, ConvInit};
use crate::macs::MacCounter;

/// How all convolutions are drawn.
pub(super) const INIT: ConvInit = ConvInit::Default;

/// Transforms one half of the channels and keeps the other.
#[derive(Module, Debug)]
struct Unit {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
}

impl Unit {
    fn new(channels: usize, device: &Device) -> Self {
        let half = channels / 2;
        Self {
            conv1: Conv::k1([half, half], 1, INIT).build(device),
            bn1: BatchNorm::new(half, device),
            conv2: Conv::depthwise(half, 1, INIT).build(device),
            bn2: BatchNorm::new(half, device),
            conv3: Conv::k1([half, half], 1, INIT).build(device),
            bn3: BatchNorm::new(half, device),
        }
    }

    /// The kept half, and the other after its last activation when `relu`, before it otherwise.
    fn halves(&self, x: Tensor<4>, relu: bool) -> [Tensor<4>; 2] {
        let half = x.dims()[1] / 2;
        let kept = channels(x.clone(), 0, half);
        let hidden = channels(x, half, half);
        let hidden = conv_bn_relu(&self.conv1, &self.bn1, hidden);
        let hidden = conv_bn(&self.conv2, &self.bn2, hidden, None, false);
        [kept, conv_bn(&self.conv3, &self.bn3, hidden, None, relu)]
    }
}

/// Halves the size on two branches of all channels.
#[derive(Module, Debug)]
struct DownUnit {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    conv4: Conv2d,
    bn4: BatchNorm,
    conv5: Conv2d,
    bn5: BatchNorm,
}

impl DownUnit {
    fn new(inputs: usize, outputs: usize, device: &Device) -> Self {
        let half = outputs / 2;
        Self {
            conv1: Conv::depthwise(inputs, 2, INIT).build(device),
            bn1: BatchNorm::new(inputs, device),
            conv2: Conv::k1([inputs, half], 1, INIT).build(device),
            bn2: BatchNorm::new(half, device),
            conv3: Conv::k1([inputs, half], 1, INIT).build(device),
            bn3: BatchNorm::new(half, device),
            conv4: Conv::depthwise(half, 2, INIT).build(device),
            bn4: BatchNorm::new(half, device),
            conv5: Conv::k1([half, half], 1, INIT).build(device),
            bn5: BatchNorm::new(half, device),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let left = conv_bn(&self.conv1, &self.bn1, x.clone(), None, false);
        let left = conv_bn_relu(&self.conv2, &self.bn2, left);
        let right = conv_bn_relu(&self.conv3, &self.bn3, x);
        let right = conv_bn(&self.conv4, &self.bn4, right, None, false);
        let right = conv_bn_relu(&self.conv5, &self.bn5, right);
        interleave(left, right)
    }
}

/// A unit that halves the size, and others after it.
#[derive(Module, Debug)]
pub(crate) struct Stage {
    down: DownUnit,
    units: Vec<Unit>,
}

impl Stage {
    pub fn new(inputs: usize, outputs: usize, units: usize, device: &Device) -> Self {
        Self {
            down: DownUnit::new(inputs, outputs, device),
            units: (0..units).map(|_| Unit::new(outputs, device)).collect(),
        }
    }

    /// The output after the last shuffle and, when asked for, the channels before the last
    /// activation, unshuffled.
    pub fn forward(&self, x: Tensor<4>, preact: bool) -> (Tensor<4>, Option<Tensor<4>>) {
        let mut x = self.down.forward(x);
        for (index, unit) in self.units.iter().enumerate() {
            if preact && index + 1 == self.units.len() {
                let [kept, computed] = unit.halves(x, false);
                let map = interleave(kept.clone(), relu(computed.clone()));
                return (map, Some(Tensor::cat(vec![kept, computed], 1)));
            }
            let [kept, computed] = unit.halves(x, true);
            x = interleave(kept, computed);
        }
        (x, None)
    }

    pub fn count(&self, macs: &mut MacCounter) {
        let input = macs.size();
        let down = &self.down;
        // The right branch keeps the size until its depthwise convolution.
        macs.branch(input, &down.conv3)
            .branch(input, &down.conv4)
            .conv(&down.conv1)
            .conv(&down.conv2)
            .conv(&down.conv5);
        for unit in &self.units {
            macs.conv(&unit.conv1).conv(&unit.conv2).conv(&unit.conv3);
        }
    }
}
