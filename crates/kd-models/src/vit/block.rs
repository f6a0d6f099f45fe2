//! A block: attention and perceptron, each behind its layer normalisation.

use burn::module::{Initializer, Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::{RowEpilogue, add_dropped, layers, linear_of_rows};

use super::attention::Attention;
use super::config::VitConfig;
use super::norm::Norm;
use crate::layers::linear_normal;
use crate::stochastic_depth::StochasticDepth;

/// Standard deviation of weights and positions. The references cut the normal distribution off at ±2, which is a
/// hundred deviations away.
pub(super) const DEVIATION: f64 = 0.02;

/// A linear layer as the references draw it.
pub(crate) fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    linear_normal(inputs, outputs, DEVIATION, device)
}

/// A linear layer on every token, `[batch, tokens, inputs]` to `[batch, tokens, outputs]`, and what follows it.
pub(crate) fn rows(layer: &Linear, x: Tensor<3>, epilogue: RowEpilogue<3>) -> Tensor<3> {
    linear_of_rows(x, layer.weight.val(), bias(layer), epilogue)
}

/// Zeros for a layer without one.
fn bias(layer: &Linear) -> Tensor<1> {
    match &layer.bias {
        Some(bias) => bias.val(),
        None => {
            let weight = layer.weight.val();
            Tensor::zeros([weight.dims()[1]], &weight.device())
        }
    }
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
            attn: Attention::new(config.width, config.heads, config.dropout.attention, device),
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
        let mixed = self.attn.forward(mixed, output, taps);
        let x = self.add(x, &self.attn.proj, &self.ls1, mixed);
        let inner = self.norm2.forward(x.clone(), epsilon);
        let inner = rows(&self.mlp.fc1, inner, RowEpilogue::Gelu);
        let inner = layers::dropout(&self.dropout, inner);
        self.add(x, &self.mlp.fc2, &self.ls2, inner)
    }

    /// Adds a branch, whose last layer this is. A factor for each number is one for each column of its weight.
    fn add(
        &self,
        x: Tensor<3>,
        last: &Linear,
        scale: &Option<LayerScale>,
        branch: Tensor<3>,
    ) -> Tensor<3> {
        let (weight, bias) = (last.weight.val(), bias(last));
        let (weight, bias) = match scale {
            Some(scale) => {
                let scale = scale.gamma.val();
                (weight * scale.clone().unsqueeze(), bias * scale)
            }
            None => (weight, bias),
        };
        let device = x.device();
        let drops = layers::drops(&self.dropout, &device);
        if !drops && !self.path.is_active(&device) {
            return linear_of_rows(branch, weight, bias, RowEpilogue::Add(x));
        }
        let branch = linear_of_rows(branch, weight, bias, RowEpilogue::Nothing);
        if !self.path.is_active(&device) {
            return add_dropped(x, branch, self.dropout.prob);
        }
        x + self.path.forward(layers::dropout(&self.dropout, branch))
    }
}
