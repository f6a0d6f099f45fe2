//! Activations, and convolutions that end in one.

use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
pub(crate) use kd_kernels::Activation;
use kd_kernels::Epilogue;
use kd_kernels::layers::{BatchNorm, conv_bn_then};

/// A normalised convolution that ends in an activation.
pub(crate) fn conv_bn_activated(
    (conv, bn): &(Conv2d, BatchNorm),
    x: Tensor<4>,
    activation: Activation,
) -> Tensor<4> {
    let epilogue = Epilogue::default().with_activation(activation);
    conv_bn_then(conv, bn, x, epilogue)
}
