//! How an image becomes a map of tokens.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

use super::config::{CctConfig, Tokens};
use crate::fused::{conv, conv_relu};
use crate::layers::{Conv, ConvInit, stem_pool};
use crate::macs::MacCounter;
use crate::vit::patches;

/// Channels before the last convolution.
const BETWEEN: usize = 64;

#[derive(Module, Debug)]
pub(super) struct Tokenizer {
    conv_layers: Vec<Conv2d>,
    /// Whether a ReLU and a pooling follow each convolution.
    #[module(skip)]
    pools: bool,
}

impl Tokenizer {
    pub fn new(config: &CctConfig, channels: usize, device: &Device) -> Self {
        let conv_layers = match config.tokens {
            Tokens::Patches(patch) => vec![patches(patch, [channels, config.width], device)],
            Tokens::Convolutions(count) => (0..count)
                .map(|number| {
                    let inputs = if number == 0 { channels } else { BETWEEN };
                    let outputs = if number + 1 == count {
                        config.width
                    } else {
                        BETWEEN
                    };
                    Conv::k3([inputs, outputs], 1, ConvInit::FanIn).build(device)
                })
                .collect(),
        };
        Self {
            conv_layers,
            pools: !config.has_class_token(),
        }
    }

    /// Images to a map `[batch, width, height, width]`.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        let layers = self.conv_layers.iter();
        layers.fold(images, |x, layer| match self.pools {
            true => stem_pool(conv_relu(layer, x)),
            false => conv(layer, x),
        })
    }

    pub fn count(&self, macs: &mut MacCounter) {
        for layer in &self.conv_layers {
            macs.conv(layer);
            if self.pools {
                macs.stem_pool();
            }
        }
    }
}
