//! Attention of several heads.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

#[cfg(feature = "flex")]
use self::kernel::Heads;
#[cfg(feature = "flex")]
use super::dropout::kernel::Mask;
use super::dropout::{check, composed};
#[cfg(feature = "flex")]
use crate::flex::{Dense, FlexTensor, Input, Operation, dense, fast, run, values};
#[cfg(feature = "flex")]
use crate::isa;

/// `softmax(q·kᵀ / √d) · v` of each of `heads` heads, for rows `[batch, tokens, 3 · width]` of the queries of all
/// heads, then their keys, then their values, `d = width / heads` numbers a head; `[batch, tokens, width]`.
/// Differentiable.
///
/// Probabilities are not kept: the gradient computes them again, some rows at a time.
///
/// Source: A. Vaswani et al., "Attention Is All You Need", NeurIPS 2017.
///
/// # Panics
/// When a row cannot be divided so.
pub fn self_attention(qkv: Tensor<3>, heads: usize) -> Tensor<3> {
    mixed(qkv, None, heads, None)
}

/// [`self_attention`] with `added`, `[batch, tokens]`, added to the scores of each key: a large negative number for a token
/// that is padding. No gradient reaches it.
///
/// # Panics
/// As [`self_attention`], and when there is not a number for each token.
pub fn self_attention_masked(qkv: Tensor<3>, added: Tensor<2>, heads: usize) -> Tensor<3> {
    mixed(qkv, Some(added), heads, None)
}

/// [`self_attention`], or with `added` [`self_attention_masked`], whose probabilities go through a
/// [`dropout`](super::dropout()) of `prob`. The mask is that of a tensor `[batch, heads, tokens, tokens]`.
///
/// # Panics
/// As [`self_attention_masked`], and when `prob` is not in `[0, 1)`.
pub fn self_attention_dropped(
    qkv: Tensor<3>,
    added: Option<Tensor<2>>,
    heads: usize,
    prob: f64,
) -> Tensor<3> {
    check(prob);
    mixed(qkv, added, heads, Some(prob))
}

fn mixed(
    qkv: Tensor<3>,
    added: Option<Tensor<2>>,
    heads: usize,
    dropped: Option<f64>,
) -> Tensor<3> {
    let [batch, tokens, all] = qkv.dims();
    assert!(
        heads > 0 && all.is_multiple_of(3 * heads),
        "{all} numbers of a row cannot be divided into queries, keys and values of {heads} heads"
    );
    if let Some(added) = &added {
        assert_eq!(added.dims(), [batch, tokens], "a number for each token");
    }
    #[cfg(feature = "flex")]
    if fast(&qkv) {
        let dropped = dropped.map(|prob| Mask::draw(&qkv, prob));
        let operation = SelfAttention { heads, dropped };
        return match added {
            None => run(operation, [qkv.into_dispatch()]),
            Some(added) => run(operation, [qkv.into_dispatch(), added.into_dispatch()]),
        };
    }
    let split = qkv.reshape([batch, tokens, 3 * heads, all / (3 * heads)]);
    let split = split.swap_dims(1, 2);
    let [query, key, value] = [0, 1, 2].map(|i| split.clone().narrow(1, i * heads, heads));
    let added = added.map(|added| {
        let added = added.detach().reshape([batch, 1, 1, tokens]);
        added.expand([batch, heads, tokens, tokens])
    });
    let mixed = match dropped {
        None => {
            let options = AttentionModuleOptions::default();
            attention(query, key, value, None, added, options)
        }
        Some(prob) => {
            let scale = 1.0 / (query.dims()[3] as f64).sqrt();
            let scores = query.matmul(key.transpose()) * scale;
            let scores = match added {
                Some(added) => scores + added,
                None => scores,
            };
            composed(softmax(scores, 3), prob).matmul(value)
        }
    };
    mixed.swap_dims(1, 2).reshape([batch, tokens, all / 3])
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct SelfAttention {
    heads: usize,
    /// Of probabilities.
    dropped: Option<Mask>,
}

#[cfg(feature = "flex")]
impl SelfAttention {
    fn split<'a, const N: usize>(&self, qkv: &FlexTensor, inputs: &'a [Dense; N]) -> Heads<'a> {
        let shape = qkv.layout().shape();
        let heads = Heads::new(
            inputs[0].values(),
            [shape[0], shape[1], self.heads, shape[2] / 3 / self.heads],
        );
        let heads = match inputs.get(1) {
            Some(added) => heads.with_added(added.values()),
            None => heads,
        };
        heads.with_dropped(self.dropped)
    }
}

/// The inputs are rows, and what is added to the scores of keys, if there is anything.
#[cfg(feature = "flex")]
impl<const N: usize> Operation<N> for SelfAttention {
    type Saved = [FlexTensor; N];

    fn inputs(&self) -> [Input; N] {
        std::array::from_fn(|input| match input {
            0 => Input::Plain,
            _ => Input::Constant,
        })
    }

    fn forward(&self, inputs: [FlexTensor; N]) -> (FlexTensor, [FlexTensor; N]) {
        let dense_inputs = inputs.clone().map(Dense::new);
        let heads = self.split(&inputs[0], &dense_inputs);
        let mixed = values(heads.len(), |y| kernel::attention(isa(), heads, y));
        (dense(mixed, heads.shape()), inputs)
    }

    fn backward(
        &self,
        inputs: [FlexTensor; N],
        grad: FlexTensor,
        _: [bool; N],
        _: &mut [Option<FlexTensor>; N],
    ) -> [Option<FlexTensor>; N] {
        let shape = inputs[0].layout().shape().clone();
        let (dense_inputs, grad) = (inputs.clone().map(Dense::new), Dense::new(grad));
        let heads = self.split(&inputs[0], &dense_inputs);
        let dx = values(shape.num_elements(), |dx| {
            kernel::grad(isa(), heads, grad.values(), dx);
        });
        let mut gradients = [const { None }; N];
        gradients[0] = Some(dense(dx, shape));
        gradients
    }
}
