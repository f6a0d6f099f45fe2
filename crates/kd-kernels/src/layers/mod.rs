//! Layers that networks and adapters are made of, run by the kernels.
//!
//! What a convolution does (stride, padding, dilation) is read from the layer, and its groups from its weight.

mod batch_norm;
mod dropout;
mod quantised;

use burn::nn::conv::Conv2d;
use burn::tensor::{Device, Tensor};

pub use batch_norm::BatchNorm;
pub use dropout::{dropout, drops};
pub use quantised::{LayerGrid, LayerGrids, computed, operands, watched};

#[cfg(feature = "flex")]
use crate::prepared::{self, Folding, Sources};
use crate::{Activation, ConvOptions, Epilogue, conv2d};

/// A convolution by itself.
pub fn conv(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    conv_then(conv, x, Epilogue::default())
}

/// A convolution and a ReLU.
pub fn conv_relu(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    conv_then(conv, x, Epilogue::relu())
}

/// A convolution and an activation.
pub fn conv_activated(conv: &Conv2d, x: Tensor<4>, activation: Activation) -> Tensor<4> {
    conv_then(conv, x, Epilogue::default().with_activation(activation))
}

/// The options of a layer for this input. Its groups follow from the weight `[outputs, inputs / groups, ..]`: a depthwise
/// layer that lost channels has fewer than it was built with.
fn options(conv: &Conv2d, x: &Tensor<4>) -> Option<ConvOptions> {
    let options = ConvOptions::of(conv)?;
    let groups = x.dims()[1] / conv.weight.dims()[1];
    Some(ConvOptions { groups, ..options })
}

/// A convolution, its own bias, and what the epilogue asks for.
fn conv_then(conv: &Conv2d, x: Tensor<4>, epilogue: Epilogue) -> Tensor<4> {
    match options(conv, &x) {
        Some(options) => {
            let bias = conv.bias.as_ref().map(|bias| bias.val());
            let (x, weight) = operands(x, conv.weight.val(), 0);
            conv2d(x, weight, options, epilogue.with_bias(bias))
        }
        None => epilogue.finish(conv.forward(x)),
    }
}

/// The weight and the bias of a convolution into which the normalisation behind it has been folded.
fn folded(conv: &Conv2d, bn: &BatchNorm, device: &Device) -> (Tensor<4>, Tensor<1>) {
    let fold = || {
        let (scale, mut shift) = bn.affine(device);
        if let Some(bias) = &conv.bias {
            shift = shift + bias.val() * scale.clone();
        }
        let [outputs] = scale.dims();
        let weight = conv.weight.val() * scale.reshape([outputs, 1, 1, 1]);
        (weight, shift)
    };
    #[cfg(feature = "flex")]
    return prepared::folded(
        Folding::BatchNorm(bn.epsilon.to_bits()),
        || {
            let sources = Sources::of(conv.weight.val())
                .and(bn.gamma.val())
                .and(bn.beta.val())
                .and(bn.running_mean.value())
                .and(bn.running_var.value());
            match &conv.bias {
                Some(bias) => sources.and(bias.val()),
                None => sources,
            }
        },
        fold,
    );
    #[cfg(not(feature = "flex"))]
    fold()
}

/// Convolution, normalisation, then the addition of a shortcut and a ReLU on request.
pub fn conv_bn(
    conv: &Conv2d,
    bn: &BatchNorm,
    x: Tensor<4>,
    shortcut: Option<Tensor<4>>,
    relu: bool,
) -> Tensor<4> {
    let epilogue = Epilogue::default().with_residual(shortcut).with_relu(relu);
    conv_bn_then(conv, bn, x, epilogue)
}

/// Convolution, normalisation, and what the epilogue asks for.
///
/// A normalisation by running statistics is an affine map, and so is the convolution before it: in
/// inference they are one, with the normalisation folded into weight and bias.
pub fn conv_bn_then(
    conv: &Conv2d,
    bn: &BatchNorm,
    x: Tensor<4>,
    mut epilogue: Epilogue,
) -> Tensor<4> {
    let options = match options(conv, &x) {
        Some(options) if !x.device().is_autodiff() && !quantised::active() => options,
        _ => return bn.forward_with(self::conv(conv, x), epilogue),
    };
    let (weight, shift) = folded(conv, bn, &x.device());
    let shift = epilogue.shifted(shift);
    conv2d(x, weight, options, epilogue.with_bias(shift))
}
