//! Embeddings and blocks of a text network.

use burn::module::{Module, Param};
use burn::nn::{Dropout, DropoutConfig, Linear};
use burn::tensor::{Device, Int, Tensor};
use kd_core::{Output, Taps, draw};
use kd_kernels::{RowEpilogue, add_dropped, layers};

use super::config::TextConfig;
use crate::macs::MacCounter;
use crate::vit::{Attention, Norm, linear, rows};

/// Standard deviation of embeddings.
const DEVIATION: f64 = 0.02;

/// A vector for each of so many things.
#[derive(Module, Debug)]
pub(super) struct Table {
    pub weight: Param<Tensor<2>>,
}

impl Table {
    fn new(count: usize, width: usize, device: &Device) -> Self {
        Self {
            weight: draw::normal([count, width], DEVIATION, device),
        }
    }

    /// Vectors `[batch, tokens, width]` of `[batch, tokens]`.
    fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, tokens] = ids.dims();
        let [_, width] = self.weight.dims();
        let found = self.weight.val().select(0, ids.reshape([batch * tokens]));
        found.reshape([batch, tokens, width])
    }
}

/// `norm(word + position + type)`.
#[derive(Module, Debug)]
pub(super) struct Embeddings {
    pub words: Table,
    positions: Table,
    types: Option<Table>,
    norm: Norm,
    dropout: Dropout,
    padding: usize,
}

impl Embeddings {
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let table = |count| Table::new(count, config.width, device);
        Self {
            words: table(config.vocabulary),
            positions: table(config.positions),
            types: (config.types > 0).then(|| table(config.types)),
            norm: Norm::new(config.width, device),
            dropout: DropoutConfig::new(config.dropout.hidden).init(),
            padding: config.padding,
        }
    }

    /// Vectors of words, `[batch, tokens, width]`.
    fn words(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let found = self.words.forward(ids.clone());
        if !found.device().is_autodiff() {
            return found;
        }
        let padding = ids.equal_elem(self.padding as i64).unsqueeze_dim::<3>(2);
        let constant = found.clone().detach();
        found
            .clone()
            .mask_where(padding.expand(found.dims()), constant)
    }

    /// Tokens without types are of the first.
    pub fn forward(
        &self,
        ids: Tensor<2, Int>,
        types: Option<Tensor<2, Int>>,
        epsilon: f64,
    ) -> Tensor<3> {
        let [_, tokens] = ids.dims();
        let of_types = self.types.as_ref().map(|table| match types {
            Some(types) => table.forward(types),
            None => table.weight.val().narrow(0, 0, 1).unsqueeze(),
        });
        let positions = self.positions.weight.val().narrow(0, 0, tokens);
        let sum = self.words(ids) + positions.unsqueeze();
        let sum = match of_types {
            Some(types) => sum + types,
            None => sum,
        };
        layers::dropout(&self.dropout, self.norm.forward(sum, epsilon))
    }
}

/// `x ← norm1(x + attention(x))`, `x ← norm2(x + fc2(gelu(fc1(x))))`.
#[derive(Module, Debug)]
pub(super) struct Block {
    attn: Attention,
    norm1: Norm,
    fc1: Linear,
    fc2: Linear,
    norm2: Norm,
    /// Of both branches.
    dropout: Dropout,
}

impl Block {
    pub fn new(config: &TextConfig, device: &Device) -> Self {
        let TextConfig { width, hidden, .. } = *config;
        Self {
            attn: Attention::new(width, config.heads, config.dropout.attention, device),
            norm1: Norm::new(width, device),
            fc1: linear(width, hidden, device),
            fc2: linear(hidden, width, device),
            norm2: Norm::new(width, device),
            dropout: DropoutConfig::new(config.dropout.hidden).init(),
        }
    }

    /// Tokens `[batch, tokens, width]`; what `taps` asks of this layer goes into the output. `unseen` is added to the
    /// scores ([`unseen`](crate::vit::unseen)).
    pub fn forward(
        &self,
        x: Tensor<3>,
        unseen: &Tensor<4>,
        epsilon: f64,
        output: &mut Output,
        taps: &Taps,
    ) -> Tensor<3> {
        let mixed = self.attn.forward_masked(x.clone(), unseen, output, taps);
        let x = self
            .norm1
            .forward(self.add(x, &self.attn.proj, mixed), epsilon);
        let inner = rows(&self.fc1, x.clone(), RowEpilogue::Gelu);
        self.norm2.forward(self.add(x, &self.fc2, inner), epsilon)
    }

    /// Adds a branch, whose last layer this is.
    fn add(&self, x: Tensor<3>, last: &Linear, branch: Tensor<3>) -> Tensor<3> {
        if !layers::drops(&self.dropout, &x.device()) {
            return rows(last, branch, RowEpilogue::Add(x));
        }
        let branch = rows(last, branch, RowEpilogue::Nothing);
        add_dropped(x, branch, self.dropout.prob)
    }

    pub fn count(&self, tokens: usize, macs: &mut MacCounter) {
        for layer in [&self.fc1, &self.fc2] {
            macs.rows(layer, tokens);
        }
        self.attn.count(tokens, macs);
    }
}
