//! Layers with what follows them, as one operation where there is a kernel for it.

use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::module::linear;
use kd_kernels::layers::{BatchNorm, operands};

pub(crate) use kd_kernels::layers::{conv, conv_activated, conv_bn, conv_relu};

/// [`conv_bn`] with a ReLU and no shortcut.
pub(crate) fn conv_bn_relu(conv: &Conv2d, bn: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    conv_bn(conv, bn, x, None, true)
}

/// The classifier's scores for an embedding.
pub(crate) fn classify(layer: &Linear, embedding: Tensor<2>) -> Tensor<2> {
    let (embedding, weight) = operands(embedding, layer.weight.val(), 1);
    match &layer.bias {
        Some(bias) if !embedding.device().is_autodiff() => {
            kd_kernels::linear(embedding, weight, bias.val())
        }
        bias => linear(embedding, weight, bias.as_ref().map(|bias| bias.val())),
    }
}

/// A linear layer within a network.
pub(crate) fn hidden(layer: &Linear, x: Tensor<2>) -> Tensor<2> {
    let (x, weight) = operands(x, layer.weight.val(), 1);
    linear(x, weight, layer.bias.as_ref().map(|bias| bias.val()))
}
