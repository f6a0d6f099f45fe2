//! A block: attention and perceptron, each behind its layer normalisation.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};

use super::attention::Attention;
use super::config::VitConfig;
use super::norm::Norm;
use crate::layers::linear_normal;
use crate::stochastic_depth::StochasticDepth;

/// Standard deviation of weights and positions. The references cut the normal distribution off at ±2, which is a
/// hundred deviations away.
pub(super) const DEVIATION: f64 = 0.02;

/// A linear layer as the references draw it.
pub(super) fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    linear_normal(inputs, outputs, DEVIATION, device)
}

/// A linear layer on every token, `[batch, tokens, inputs]` to `[batch, tokens, outputs]`, as one product of matrices.
pub(super) fn rows(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [batch, tokens, width] = x.dims();
    let y = layer.forward(x.reshape([batch * tokens, width]));
    let [_, outputs] = y.dims();
    y.reshape([batch, tokens, outputs])
}

/// `fc2(gelu(fc1(x)))`.
#[derive(Module, Debug)]
pub(super) struct Perceptron {
    pub fc1: Linear,
    pub fc2: Linear,
}

/// LayerScale: a learned factor for each of `width` numbers (Touvron et al., ICCV 2021).
#[derive(Module, Debug)]
struct LayerScale {
    gamma: Param<Tensor<1>>,
}

impl LayerScale {
    fn new(config: &VitConfig, device: &Device) -> Option<Self> {
        let value = config.layer_scale?;
        Some(Self {
            gamma: Initializer::Constant { value }.init([config.width], device),
        })
    }
}

fn scaled(branch: Tensor<3>, scale: &Option<LayerScale>) -> Tensor<3> {
    match scale {
        Some(scale) => branch * scale.gamma.val().unsqueeze(),
        None => branch,
    }
}

/// `x ← x + attention(norm1(x))`, `x ← x + perceptron(norm2(x))`.
#[derive(Module, Debug)]
pub(super) struct Block {
    norm1: Norm,
    pub attn: Attention,
    ls1: Option<LayerScale>,
    norm2: Norm,
    pub mlp: Perceptron,
    ls2: Option<LayerScale>,
    /// Of elements.
    dropout: Dropout,
    /// Of a sample's branches.
    path: StochasticDepth,
}

impl Block {
    /// The block of this number, from 0.
    pub fn new(config: &VitConfig, number: usize, device: &Device) -> Self {
        let last = (config.depth - 1).max(1);
        Self {
            norm1: Norm::new(config.width, device),
            attn: Attention::new(config, device),
            ls1: LayerScale::new(config, device),
            norm2: Norm::new(config.width, device),
            mlp: Perceptron {
                fc1: linear(config.width, config.hidden, device),
                fc2: linear(config.hidden, config.width, device),
            },
            ls2: LayerScale::new(config, device),
            dropout: DropoutConfig::new(config.dropout.hidden).init(),
            path: StochasticDepth::new(config.dropout.path * number as f64 / last as f64),
        }
    }

    /// Tokens `[batch, tokens, width]`; what `taps` asks of this layer goes into the output.
    pub fn forward(
        &self,
        x: Tensor<3>,
        epsilon: f64,
        output: &mut Output,
        taps: &Taps,
    ) -> Tensor<3> {
        let mixed = self.norm1.forward(x.clone(), epsilon);
        let mixed = self.dropout.forward(self.attn.forward(mixed, output, taps));
        let x = x + self.path.forward(scaled(mixed, &self.ls1));
        let inner = rows(&self.mlp.fc1, self.norm2.forward(x.clone(), epsilon));
        let inner = self.dropout.forward(gelu(inner));
        let inner = self.dropout.forward(rows(&self.mlp.fc2, inner));
        x + self.path.forward(scaled(inner, &self.ls2))
    }
}
