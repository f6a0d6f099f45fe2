//! Attention of several heads.

#[cfg(feature = "flex")]
pub(crate) mod kernel;

use burn::tensor::Tensor;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;

#[cfg(feature = "flex")]
use self::kernel::Heads;
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
    let [batch, tokens, all] = qkv.dims();
    assert!(
        heads > 0 && all.is_multiple_of(3 * heads),
        "{all} numbers of a row cannot be divided into queries, keys and values of {heads} heads"
    );
    #[cfg(feature = "flex")]
    if fast(&qkv) {
        return run(SelfAttention { heads }, [qkv.into_dispatch()]);
    }
    let split = qkv.reshape([batch, tokens, 3 * heads, all / (3 * heads)]);
    let split = split.swap_dims(1, 2);
    let [query, key, value] = [0, 1, 2].map(|i| split.clone().narrow(1, i * heads, heads));
    let options = AttentionModuleOptions::default();
    let mixed = attention(query, key, value, None, None, options);
    mixed.swap_dims(1, 2).reshape([batch, tokens, all / 3])
}

#[cfg(feature = "flex")]
#[derive(Clone, Debug)]
struct SelfAttention {
    heads: usize,
}

#[cfg(feature = "flex")]
impl SelfAttention {
    fn split<'a>(&self, qkv: &FlexTensor, values: &'a [f32]) -> Heads<'a> {
        let shape = qkv.layout().shape();
        Heads::new(
            values,
            [shape[0], shape[1], self.heads, shape[2] / 3 / self.heads],
        )
    }
}

#[cfg(feature = "flex")]
impl Operation<1> for SelfAttention {
    type Saved = FlexTensor;

    fn inputs(&self) -> [Input; 1] {
        [Input::Plain]
    }

    fn forward(&self, [qkv]: [FlexTensor; 1]) -> (FlexTensor, FlexTensor) {
        let rows = Dense::new(qkv.clone());
        let heads = self.split(&qkv, rows.values());
        let mixed = values(heads.len(), |y| kernel::attention(isa(), heads, y));
        (dense(mixed, heads.shape()), qkv)
    }

    fn backward(
        &self,
        qkv: FlexTensor,
        grad: FlexTensor,
        _: [bool; 1],
        _: &mut [Option<FlexTensor>; 1],
    ) -> [Option<FlexTensor>; 1] {
        let shape = qkv.layout().shape().clone();
        let (rows, grad) = (Dense::new(qkv.clone()), Dense::new(grad));
        let heads = self.split(&qkv, rows.values());
        let dx = values(shape.num_elements(), |dx| {
            kernel::grad(isa(), heads, grad.values(), dx);
        });
        [Some(dense(dx, shape))]
    }
}
