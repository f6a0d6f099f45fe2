//! A block of a compact transformer.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Taps};
use kd_kernels::RowEpilogue;

use super::EPSILON;
use super::config::CctConfig;
use crate::macs::MacCounter;
use crate::stochastic_depth::StochasticDepth;
use crate::vit::{Attention, Norm, linear, rows};

/// Share of attention probabilities, and of the last block's branches, that training drops.
const DROPPED: f64 = 0.1;

/// `x ← norm1(x + attention(pre_norm(x)))`, `x ← x + linear2(gelu(linear1(x)))`.
#[derive(Module, Debug)]
pub(super) struct Block {
    pre_norm: Norm,
    self_attn: Attention,
    linear1: Linear,
    norm1: Norm,
    linear2: Linear,
    /// Of a sample's branches.
    path: StochasticDepth,
}

impl Block {
    /// The block of this number, from 0.
    pub fn new(config: &CctConfig, number: usize, device: &Device) -> Self {
        let last = (config.depth - 1).max(1);
        let mut self_attn = Attention::new(config.width, config.heads, DROPPED, device);
        self_attn.qkv.bias = None;
        Self {
            pre_norm: Norm::new(config.width, device),
            self_attn,
            linear1: linear(config.width, config.hidden, device),
            norm1: Norm::new(config.width, device),
            linear2: linear(config.hidden, config.width, device),
            path: StochasticDepth::new(DROPPED * number as f64 / last as f64),
        }
    }

    /// Heads of its attention.
    pub fn heads(&self) -> usize {
        self.self_attn.heads
    }

    pub fn set_heads(&mut self, heads: usize) {
        self.self_attn.heads = heads;
    }

    /// Tokens `[batch, tokens, width]`; what `taps` asks of this layer goes into the output.
    pub fn forward(&self, x: Tensor<3>, output: &mut Output, taps: &Taps) -> Tensor<3> {
        let mixed = self.pre_norm.forward(x.clone(), EPSILON);
        let mixed = self.self_attn.forward(mixed, output, taps);
        let x = self.add(x, &self.self_attn.proj, mixed);
        let x = self.norm1.forward(x, EPSILON);
        let inner = rows(&self.linear1, x.clone(), RowEpilogue::Gelu);
        self.add(x, &self.linear2, inner)
    }

    /// Adds a branch, whose last layer this is.
    fn add(&self, x: Tensor<3>, last: &Linear, branch: Tensor<3>) -> Tensor<3> {
        if !self.path.is_active(&x.device()) {
            return rows(last, branch, RowEpilogue::Add(x));
        }
        x + self.path.forward(rows(last, branch, RowEpilogue::Nothing))
    }

    pub fn count(&self, tokens: usize, macs: &mut MacCounter) {
        for layer in [&self.linear1, &self.linear2] {
            macs.rows(layer, tokens);
        }
        self.self_attn.count(tokens, macs);
    }
}
