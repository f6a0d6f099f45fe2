//! Activations, and convolutions that end in one.

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use burn::tensor::activation::{hard_swish, relu, relu6, silu};
use kd_kernels::layers::BatchNorm;

use crate::fused::{conv_bn, conv_bn_relu};

/// What follows a convolution and its normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activation {
    /// `max(x, 0)`.
    Relu,
    /// `min(max(x, 0), 6)` (Sandler et al., CVPR 2018).
    Relu6,
    /// `x · min(max(x + 3, 0), 6) / 6` (Howard et al., ICCV 2019).
    HardSwish,
    /// `x · sigmoid(x)` (Ramachandran et al., 2017).
    Silu,
}

impl Activation {
    /// The function, value by value.
    pub fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Relu => relu(x),
            Self::Relu6 => relu6(x),
            Self::HardSwish => hard_swish(x),
            Self::Silu => silu(x),
        }
    }

    /// The function of a normalised convolution.
    pub fn after(self, (conv, bn): &(Conv2d, BatchNorm), x: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Relu => conv_bn_relu(conv, bn, x),
            Self::Relu6 => conv_bn_relu(conv, bn, x).clamp_max(6.0),
            Self::HardSwish | Self::Silu => self.apply(conv_bn(conv, bn, x, None, false)),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn values_are_those_of_the_definitions() {
        let x = [-4.0_f32, -1.0, 0.0, 2.0, 7.0];
        let of = |activation: Activation| -> Vec<f32> {
            let x = Tensor::<1>::from_floats(x, &Device::flex());
            activation.apply(x).into_data().iter().collect()
        };
        assert_eq!(of(Activation::Relu), [0.0, 0.0, 0.0, 2.0, 7.0]);
        assert_eq!(of(Activation::Relu6), [0.0, 0.0, 0.0, 2.0, 6.0]);
        let sigmoid = |x: f32| 1.0 / (1.0 + (-x).exp());
        let hard = [0.0, -1.0 / 3.0, 0.0, 5.0 / 3.0, 7.0];
        for (found, wanted) in [
            (of(Activation::HardSwish), hard),
            (of(Activation::Silu), x.map(|x| x * sigmoid(x))),
        ] {
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
            }
        }
    }
}
