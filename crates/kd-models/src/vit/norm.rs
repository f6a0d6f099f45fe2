//! Layer normalisation.

use burn::module::{Initializer, Module, Param};
use burn::tensor::{Device, Tensor};

/// Layer normalisation over the last axis: `(x − mean) / sqrt(variance + epsilon) · weight + bias`, of
/// `[batch, tokens, width]` with a weight and a bias `[width]`; the variance is the biased one.
///
/// Source: J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", arXiv 2016.
///
/// # Panics
/// When weight or bias have another width.
pub fn layer_norm(x: Tensor<3>, weight: Tensor<1>, bias: Tensor<1>, epsilon: f64) -> Tensor<3> {
    kd_kernels::layer_norm(x, weight, bias, epsilon)
}

/// The weight and bias of a [`layer_norm`]. Its epsilon belongs to the network, since it differs between programs
/// ([`Origin`](super::Origin)).
#[derive(Module, Debug)]
pub(crate) struct Norm {
    pub weight: Param<Tensor<1>>,
    pub bias: Param<Tensor<1>>,
}

impl Norm {
    pub fn new(width: usize, device: &Device) -> Self {
        Self {
            weight: Initializer::Ones.init([width], device),
            bias: Initializer::Zeros.init([width], device),
        }
    }

    pub fn forward(&self, x: Tensor<3>, epsilon: f64) -> Tensor<3> {
        layer_norm(x, self.weight.val(), self.bias.val(), epsilon)
    }
}
