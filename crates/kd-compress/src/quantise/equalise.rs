//! Two layers whose channels share their range.

use burn::tensor::Tensor;

/// Two layers with a ReLU between them that compute what they did, with channels of equal range.
#[derive(Clone, Debug)]
pub struct Equalised {
    /// Weight of the first, `[channels, inputs, height, width]`.
    pub first: Tensor<4>,
    /// Bias of the first, `[channels]`.
    pub bias: Tensor<1>,
    /// Weight of the second, `[outputs, channels, height, width]`.
    pub second: Tensor<4>,
}

/// Divides the first layer's channels by `s = √(r₁ / r₂)` and multiplies the second layer's by it, where `r` is
/// a channel's largest absolute weight in each. Exact with a ReLU between them, not with one that ends, such as ReLU6.
/// A channel that is zero in one of them keeps its scale. The scale carries no gradient.
///
/// Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, "Data-Free Quantization Through Weight Equalization and
/// Bias Correction", ICCV 2019.
pub fn equalise(first: Tensor<4>, bias: Tensor<1>, second: Tensor<4>) -> Equalised {
    let [channels] = bias.dims();
    let range = |rows: Tensor<2>| rows.abs().max_dim(1).reshape([channels]);
    let one = range(first.clone().reshape([channels as i32, -1]));
    let other = second
        .clone()
        .swap_dims(0, 1)
        .reshape([channels as i32, -1]);
    let other = range(other);
    let scale = (one.clone() / other.clone()).sqrt();
    let dead = one.equal_elem(0.0).bool_or(other.equal_elem(0.0));
    let scale = scale.mask_fill(dead, 1.0).detach();
    Equalised {
        first: first / scale.clone().reshape([channels, 1, 1, 1]),
        bias: bias / scale.clone(),
        second: second * scale.reshape([1, channels, 1, 1]),
    }
}
