//! Attention of several heads.

use burn::module::Module;
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_kernels::{RowEpilogue, self_attention};

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
        let each = width / self.heads;
        if !self.drops(&all.device()) && !wants(output, taps) {
            PARTS.into_iter().for_each(|part| output.skip(part));
            return self_attention(all, self.heads);
        }
        let all = all.reshape([batch, tokens, 3 * self.heads, each]);
        let all = all.swap_dims(1, 2);
        let [query, key, value] =
            [0, 1, 2].map(|i| all.clone().narrow(1, i * self.heads, self.heads));
        output.push(Part::Queries, &query, taps);
        output.push(Part::Keys, &key, taps);
        output.push(Part::Values, &value, taps);
        let mixed = self.mix([query, key, value], output, taps);
        mixed.swap_dims(1, 2).reshape([batch, tokens, width])
    }

    /// Whether probabilities are dropped on this device: only in training.
    fn drops(&self, device: &Device) -> bool {
        let Dropout { prob, training } = &self.dropout;
        *prob > 0.0 && training.is_enabled() && device.is_autodiff()
    }

    /// The values `[batch, heads, tokens, d]`, mixed. The fused operation has neither scores nor probabilities, and
    /// no dropout.
    fn mix(&self, parts: [Tensor<4>; 3], output: &mut Output, taps: &Taps) -> Tensor<4> {
        let [query, key, value] = parts;
        let level = output.levels(Part::Attentions);
        let shown = taps.wants(Part::Attentions, level) || taps.wants(Part::Scores, level);
        if !shown && !self.drops(&query.device()) {
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
        let probabilities = softmax(scores, 3);
        output.push(Part::Attentions, &probabilities, taps);
        self.dropout.forward(probabilities).matmul(value)
    }
}
