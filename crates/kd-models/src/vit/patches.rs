//! How patches become tokens.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::Device;
use kd_core::draw;

/// The layer that makes tokens of patches.
#[derive(Module, Debug)]
pub(super) struct PatchEmbedding {
    pub proj: Conv2d,
}

impl PatchEmbedding {
    pub fn new(patch: usize, channels: [usize; 2], device: &Device) -> Self {
        Self {
            proj: patches(patch, channels, device),
        }
    }
}

/// The layer, as PyTorch draws a convolution: uniform within `1 / sqrt(fan in)`.
pub(crate) fn patches(patch: usize, channels: [usize; 2], device: &Device) -> Conv2d {
    let [inputs, width] = channels;
    let mut proj = Conv2dConfig::new(channels, [patch; 2])
        .with_stride([patch; 2])
        .init(device);
    let bound = 1.0 / ((inputs * patch * patch) as f64).sqrt();
    proj.weight = draw::uniform([width, inputs, patch, patch], bound, device);
    proj.bias = Some(draw::uniform([width], bound, device));
    proj
}
