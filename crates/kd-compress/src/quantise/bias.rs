//! What quantised weights add to a layer's mean.

use burn::tensor::Tensor;

/// How far each channel of the `quantised` layer's output lies above that of the `float` layer in the mean over images
/// and positions, `[channels]` of two `[batch, channels, height, width]`: to be taken off the bias.
///
/// Source: M. Nagel, M. van Baalen, T. Blankevoort, M. Welling, ICCV 2019, section 4.2, measured with data.
pub fn output_shift(quantised: Tensor<4>, float: Tensor<4>) -> Tensor<1> {
    let [_, channels, ..] = float.dims();
    let difference = quantised - float;
    let rows = difference.swap_dims(0, 1).reshape([channels as i32, -1]);
    rows.mean_dim(1).reshape([channels])
}
