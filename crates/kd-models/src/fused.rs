//! Convolutions with what follows them, as one operation where there is a kernel for it.

use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use kd_kernels::{ConvOptions, conv2d, conv2d_fused};

use crate::batch_norm::BatchNorm;

/// Convolution, normalisation, then the addition of a shortcut and a ReLU on request.
///
/// A normalisation by running statistics is an affine map, and so is the convolution before it: in
/// inference they are one, with the normalisation folded into weight and bias.
pub(crate) fn conv_bn(
    conv: &Conv2d,
    bn: &BatchNorm,
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    if x.device().is_autodiff() {
        return bn.forward_then(self::conv(conv, x), shortcut, relu);
    }
    let (scale, mut shift) = bn.affine(&x.device());
    if let Some(bias) = &conv.bias {
        shift = shift + bias.val() * scale.clone();
    }
    let [outputs] = scale.dims();
    let weight = conv.weight.val() * scale.reshape([outputs, 1, 1, 1]);
    conv2d_fused(x, weight, shift, shortcut, relu, options(conv))
}

/// [`conv_bn`] with a ReLU and no shortcut.
pub(crate) fn conv_bn_relu(conv: &Conv2d, bn: &BatchNorm, x: Tensor<4>) -> Tensor<4> {
    conv_bn(conv, bn, x, None, true)
}

/// A convolution by itself.
pub(crate) fn conv(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let bias = conv.bias.as_ref().map(|bias| bias.val());
    conv2d(x, conv.weight.val(), bias, false, options(conv))
}

fn options(conv: &Conv2d) -> ConvOptions {
    let [_, _, height, width] = conv.weight.dims();
    ConvOptions {
        stride: conv.stride,
        // As `layers::Conv` builds every convolution of this crate.
        padding: [height / 2, width / 2],
        groups: conv.groups,
    }
}

/// The classifier's scores for an embedding.
pub(crate) fn classify(layer: &Linear, embedding: Tensor<2>) -> Tensor<2> {
    match &layer.bias {
        Some(bias) if !embedding.device().is_autodiff() => {
            kd_kernels::linear(embedding, layer.weight.val(), bias.val())
        }
        _ => layer.forward(embedding),
    }
}
