//! Batch normalisation as part of the convolution before it.

use burn::tensor::Tensor;

/// The convolution that computes what `weight` `[outputs, inputs, height, width]` and `bias` `[outputs]` with a batch
/// normalisation by running statistics compute: `w · γ / √(σ² + ε)` and `(b − μ) · γ / √(σ² + ε) + β`.
pub fn fold_batch_norm(
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    [gamma, beta]: [Tensor<1>; 2],
    [mean, variance]: [Tensor<1>; 2],
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>) {
    let factor = gamma / (variance + epsilon).sqrt();
    let [outputs] = factor.dims();
    let centred = match bias {
        Some(bias) => bias - mean,
        None => -mean,
    };
    (
        weight * factor.clone().reshape([outputs, 1, 1, 1]),
        centred * factor + beta,
    )
}
