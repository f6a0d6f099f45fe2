//! Maps resized between the centres of their pixels.

use burn::tensor::{DType, Device, Tensor, TensorData};

/// A map `[batch, channels, height, width]` at another size, bilinear between the centres of the pixels, as PyTorch's
/// `interpolate(align_corners=False)`. It is a product with a matrix for each side, so every backend has its gradient.
pub(super) fn bilinear(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [batch, channels, height, width] = map.dims();
    if [height, width] == size {
        return map;
    }
    let (device, dtype) = (map.device(), map.dtype());
    let wide = shares(width, size[1], (&device, dtype));
    let tall = shares(height, size[0], (&device, dtype));
    let map = map.reshape([batch * channels * height, width]).matmul(wide);
    let map = map.reshape([batch * channels, height, size[1]]);
    let map = map
        .swap_dims(1, 2)
        .reshape([batch * channels * size[1], height]);
    let map = map
        .matmul(tall)
        .reshape([batch, channels, size[1], size[0]]);
    map.swap_dims(2, 3)
}

/// What each of `from` pixels gives to each of `to`, `[from, to]`.
fn shares(from: usize, to: usize, options: (&Device, DType)) -> Tensor<2> {
    let mut shares = vec![0.0_f64; from * to];
    for place in 0..to {
        let at = (place as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let at = at.clamp(0.0, (from - 1) as f64);
        let (first, rest) = (at as usize, at.fract());
        let next = (first + 1).min(from - 1);
        shares[first * to + place] += 1.0 - rest;
        shares[next * to + place] += rest;
    }
    Tensor::from_data(TensorData::new(shares, [from, to]), options)
}
