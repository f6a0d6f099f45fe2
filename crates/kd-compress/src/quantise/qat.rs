//! Training with the weight that inference will quantise: the folded one.

use burn::tensor::Tensor;
use kd_kernels::{ConvOptions, Epilogue, batch_norm, conv2d};

/// What a step of training gives.
#[derive(Clone, Debug)]
pub struct FoldedTraining {
    /// `[batch, outputs, height, width]`.
    pub output: Tensor<4>,
    /// Running mean and unbiased variance after the step, both `[outputs]`, without a gradient.
    pub running: [Tensor<1>; 2],
}

/// Convolution and batch normalisation in training, where `quantise` sees the weight with the normalisation by running
/// statistics folded into it: `conv(x, quantise(w · γ / √(σ² + ε))) · √(σ² + ε) / γ`, then normalised by the
/// batch, and a ReLU on request. `momentum` is the newest batch's weight in the running statistics.
///
/// Source: R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", arXiv 1806.08342, 2018,
/// section 3.2.2, in the form of PyTorch's `ConvBn2d`.
pub fn conv_bn_folded(
    x: Tensor<4>,
    weight: Tensor<4>,
    [gamma, beta]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    (options, epsilon, momentum, relu): (ConvOptions, f64, f64, bool),
    quantise: impl FnOnce(Tensor<4>) -> Tensor<4>,
) -> FoldedTraining {
    let factor = gamma.clone() / (variance.clone() + epsilon).sqrt();
    let [outputs] = factor.dims();
    let folded = quantise(weight * factor.clone().reshape([outputs, 1, 1, 1]));
    let response = conv2d(x, folded, options, Epilogue::default());
    let response = response / factor.reshape([1, outputs, 1, 1]);
    let [batch, _, height, width] = response.dims();
    let count = (batch * height * width) as f64;
    let epilogue = Epilogue::default().with_relu(relu);
    let normalised = batch_norm(response, gamma, beta, epsilon, epilogue);
    let unbiased = normalised.variance * (count / (count - 1.0).max(1.0));
    let blend = |old: Tensor<1>, new: Tensor<1>| (old * (1.0 - momentum) + new * momentum).detach();
    FoldedTraining {
        output: normalised.output,
        running: [blend(mean, normalised.mean), blend(variance, unbiased)],
    }
}
