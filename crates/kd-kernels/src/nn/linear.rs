//! A linear layer.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::{ConvOptions, Epilogue, conv2d::conv2d};
#[cfg(feature = "flex")]
use crate::flex::fast;
#[cfg(feature = "flex")]
use crate::prepared::{Folding, Sources, folded};

/// `x · weight + bias` for `x` of shape `[batch, inputs]` and `weight` of `[inputs, outputs]`.
///
/// Differentiable too. In inference a row's result does not depend on the other rows of the batch,
/// bit for bit, which a general matrix product does not promise.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Tensor<1>) -> Tensor<2> {
    #[cfg(feature = "flex")]
    if fast(&x) && !x.device().is_autodiff() {
        let ([batch, inputs], [_, outputs]) = (x.dims(), weight.dims());
        let sources = || Sources::of(weight.clone()).and(bias.clone());
        let (weight, bias) = folded(Folding::Linear, sources, || {
            let weight = weight.clone().transpose();
            (weight.reshape([outputs, inputs, 1, 1]), bias.clone())
        });
        let y = conv2d(
            x.reshape([batch, inputs, 1, 1]),
            weight,
            ConvOptions::default(),
            Epilogue::default().with_bias(bias),
        );
        return y.reshape([batch, outputs]);
    }
    x.matmul(weight) + bias.unsqueeze()
}
