//! Attention of several heads.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_kernels::{
    RowEpilogue, layers, self_attention, self_attention_dropped, self_attention_masked,
};

use super::block::{linear, rows};
use crate::macs::MacCounter;

/// What a layer can show.
const PARTS: [Part; 5] = [
    Part::Queries,
    Part::Keys,
    Part::Values,
    Part::Scores,
    Part::Attentions,
];

/// What is added to the score of a token that is none, so that its probability is 0. A sequence without any token has
/// the probabilities of its scores then, and no NaN.
const NEVER: f64 = -1e4;

/// What is added to scores, `[batch, 1, 1, tokens]`, for the mask of real tokens `[batch, tokens]`.
pub(crate) fn unseen(real: &Tensor<2, Bool>) -> Tensor<4> {
    let [batch, tokens] = real.dims();
    let padding = real.clone().bool_not().float() * NEVER;
    padding.reshape([batch, 1, 1, tokens])
}

/// Whether the next layer is asked for something.
fn wants(output: &Output, taps: &Taps) -> bool {
    let mut parts = PARTS.into_iter();
    parts.any(|part| taps.wants(part, output.levels(part)))
}

/// `proj(softmax(q·kᵀ / √d) · v)` for queries, keys and values of `d` numbers a head, all three by one layer
/// (Vaswani et al., NeurIPS 2017).
#[derive(Module, Debug)]
pub(crate) struct Attention {
    /// Rows of queries, then of keys, then of values.
    pub qkv: Linear,
    pub proj: Linear,
    #[module(skip)]
    pub heads: usize,
    /// Of probabilities.
    dropout: Dropout,
}

impl Attention {
    /// `dropped` is the share of probabilities that training drops.
    pub fn new(width: usize, heads: usize, dropped: f64, device: &Device) -> Self {
        Self {
            qkv: linear(width, 3 * width, device),
            proj: linear(width, width, device),
            heads,
            dropout: DropoutConfig::new(dropped).init(),
        }
    }

    /// Counts the multiply-accumulates of so many tokens.
    pub fn count(&self, tokens: usize, macs: &mut MacCounter) {
        let [width, _] = self.proj.weight.lazy_shape().dims();
        macs.rows(&self.qkv, tokens).rows(&self.proj, tokens);
        // Queries with keys, and probabilities with values.
        macs.product([tokens, width, tokens]);
        macs.product([tokens, tokens, width]);
    }

    /// What `proj` reads, for tokens `[batch, tokens, width]`; what `taps` asks of this layer goes into the output.
    pub fn forward(&self, x: Tensor<3>, output: &mut Output, taps: &Taps) -> Tensor<3> {
        let all = rows(&self.qkv, x, RowEpilogue::Nothing);
        let [batch, tokens, numbers] = all.dims();
        let width = numbers / 3;
        if !wants(output, taps) {
            PARTS.into_iter().for_each(|part| output.skip(part));
            return match self.drops(&all.device()) {
                true => self_attention_dropped(all, None, self.heads, self.dropout.prob),
                false => self_attention(all, self.heads),
            };
        }
        let parts = self.split(all, output, taps);
        let mixed = self.mix(parts, None, output, taps);
        mixed.swap_dims(1, 2).reshape([batch, tokens, width])
    }

    /// As [`Attention::forward`], where [`unseen`] tokens are no keys.
    pub fn forward_masked(
        &self,
        x: Tensor<3>,
        unseen: &Tensor<4>,
        output: &mut Output,
        taps: &Taps,
    ) -> Tensor<3> {
        let shape = x.dims();
        let all = rows(&self.qkv, x, RowEpilogue::Nothing);
        if !wants(output, taps) {
            PARTS.into_iter().for_each(|part| output.skip(part));
            let [batch, tokens, _] = shape;
            let unseen = unseen.clone().cast(all.dtype()).reshape([batch, tokens]);
            return match self.drops(&all.device()) {
                true => self_attention_dropped(all, Some(unseen), self.heads, self.dropout.prob),
                false => self_attention_masked(all, unseen, self.heads),
            };
        }
        let parts = self.split(all, output, taps);
        let mixed = self.mix(parts, Some(unseen), output, taps);
        mixed.swap_dims(1, 2).reshape(shape)
    }

    /// Queries, keys and values of rows that hold all three.
    fn split(&self, all: Tensor<3>, output: &mut Output, taps: &Taps) -> [Tensor<4>; 3] {
        let [batch, tokens, width] = all.dims();
        let heads = 3 * self.heads;
        let all = all.reshape([batch, tokens, heads, width / heads]);
        let all = all.swap_dims(1, 2);
        let parts = [0, 1, 2].map(|i| all.clone().narrow(1, i * self.heads, self.heads));
        for (part, value) in [Part::Queries, Part::Keys, Part::Values].iter().zip(&parts) {
            output.push(*part, value, taps);
        }
        parts
    }

    /// Whether probabilities are dropped on this device: only in training.
    fn drops(&self, device: &Device) -> bool {
        layers::drops(&self.dropout, device)
    }

    /// The values `[batch, heads, tokens, d]`, mixed. The fused operation has neither scores nor probabilities, and
    /// no dropout.
    fn mix(
        &self,
        parts: [Tensor<4>; 3],
        unseen: Option<&Tensor<4>>,
        output: &mut Output,
        taps: &Taps,
    ) -> Tensor<4> {
        let [query, key, value] = parts;
        let level = output.levels(Part::Attentions);
        let shown = taps.wants(Part::Attentions, level) || taps.wants(Part::Scores, level);
        if !shown && unseen.is_none() && !self.drops(&query.device()) {
            output.skip(Part::Scores);
            output.skip(Part::Attentions);
            return attention(
                query,
                key,
                value,
                None,
                None,
                AttentionModuleOptions::default(),
            );
        }
        let scale = 1.0 / (query.dims()[3] as f64).sqrt();
        let scores = query.matmul(key.transpose()) * scale;
        output.push(Part::Scores, &scores, taps);
        let scores = match unseen {
            Some(unseen) => {
                let unseen = unseen.clone().cast(scores.dtype());
                scores + unseen
            }
            None => scores,
        };
        let probabilities = softmax(scores, 3);
        output.push(Part::Attentions, &probabilities, taps);
        layers::dropout(&self.dropout, probabilities).matmul(value)
    }
}
