//! A bottleneck of convolutions from one map's channels to another's.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};
use kd_kernels::layers::{BatchNorm, conv_bn};

use super::adapter::{blank, built_for, convolution};
use crate::Error;

/// 1×1, 3×3 and 1×1 convolutions without biases, each with batch normalisation and a ReLU.
#[derive(Module, Debug)]
pub(super) struct Bottleneck {
    channels: usize,
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    conv: Conv2d,
    norm: BatchNorm,
}

impl Bottleneck {
    /// From `channels[0]` to `channels[2]`, with `channels[1]` in between. The 3×3 convolution keeps the
    /// size; with `halvings` there are as many of them, each of stride 2.
    pub fn new(channels: [usize; 3], halvings: usize, device: &Device) -> Self {
        let conv = |channels, kernel, stride| convolution(channels, kernel, stride, false, device);
        Self::of(channels, halvings, conv, device)
    }

    /// As [`Bottleneck::new`] without halvings, with weights of 0: nothing is drawn.
    pub fn zeros(channels: [usize; 3], device: &Device) -> Self {
        let conv = |channels, kernel, stride| blank(channels, kernel, stride, device);
        Self::of(channels, 0, conv, device)
    }

    fn of(
        channels: [usize; 3],
        halvings: usize,
        conv: impl Fn([usize; 2], usize, usize) -> Conv2d,
        device: &Device,
    ) -> Self {
        let [from, inner, to] = channels;
        let layer = |channels: [usize; 2], kernel, stride| Layer {
            conv: conv(channels, kernel, stride),
            norm: BatchNorm::new(channels[1], device),
        };
        let stride = if halvings == 0 { 1 } else { 2 };
        let mut layers = vec![layer([from, inner], 1, 1)];
        layers.extend((0..halvings.max(1)).map(|_| layer([inner, inner], 3, stride)));
        layers.push(layer([inner, to], 1, 1));
        Self {
            channels: from,
            layers,
        }
    }

    /// Its convolutions, in their order.
    pub fn convolutions(&self) -> impl Iterator<Item = &Conv2d> {
        self.layers.iter().map(|layer| &layer.conv)
    }

    /// The student's map `[batch, channels, height, width]` with the new channels.
    pub fn forward(&self, loss: &'static str, map: Tensor<4>) -> Result<Tensor<4>, Error> {
        built_for(loss, "student", self.channels, &map.dims())?;
        let layers = self.layers.iter();
        Ok(layers.fold(map, |map, layer| {
            conv_bn(&layer.conv, &layer.norm, map, None, true)
        }))
    }
}
