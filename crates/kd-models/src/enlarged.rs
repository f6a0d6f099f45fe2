//! Images brought to the size that a network was built for.

use burn::tensor::{Device, Tensor, TensorData};

use crate::vit::PositionResize;

/// Square images `[batch, channels, size, size]` of images of any size: bicubic with `a = −0.5`, antialiased where
/// pixels fall together, as PIL and timm resize. Values are not clipped to the range of a pixel.
pub(crate) fn resized(images: Tensor<4>, size: usize) -> Tensor<4> {
    let [batch, channels, height, width] = images.dims();
    if [height, width] == [size; 2] {
        return images;
    }
    let device = images.device();
    let wide = shares(width, size, &device).transpose();
    let tall = shares(height, size, &device).transpose();
    let rows = images
        .reshape([batch * channels * height, width])
        .matmul(wide);
    let columns = rows
        .reshape([batch * channels, height, size])
        .swap_dims(1, 2);
    let columns = columns
        .reshape([batch * channels * size, height])
        .matmul(tall);
    let turned = columns.reshape([batch, channels, size, size]);
    turned.swap_dims(2, 3)
}

/// What each of `to` pixels takes of each of `from`, `[to, from]`.
fn shares(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let shares = PositionResize::Antialiased.shares(from, to);
    Tensor::from_data(TensorData::new(shares, [to, from]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(values: &[f32], [height, width]: [usize; 2]) -> Tensor<4> {
        let data = TensorData::new(values.to_vec(), [1, 1, height, width]);
        Tensor::from_data(data, &Device::flex())
    }

    #[test]
    fn a_slope_stays_a_slope_and_sides_keep_their_places() {
        // Rises to the right, by 3 a pixel, and by 40 a row.
        let values: Vec<f32> = (0..64)
            .map(|i| (40 * (i / 8) + 3 * (i % 8)) as f32)
            .collect();
        let large: Vec<f32> = resized(image(&values, [8, 8]), 16)
            .into_data()
            .iter()
            .collect();
        // Away from the border the cubic is exact for a slope: pixel 6 lies at 2.75 of the small image.
        let at = |row: usize, column: usize| large[16 * row + column];
        assert!(
            (at(6, 7) - (40.0 * 2.75 + 3.0 * 3.25)).abs() < 1e-3,
            "{}",
            at(6, 7)
        );
        let flat = resized(image(&[7.0; 15], [3, 5]), 4);
        assert_eq!(flat.dims(), [1, 1, 4, 4]);
        let values: Vec<f32> = flat.into_data().iter().collect();
        assert!(values.iter().all(|v| (v - 7.0).abs() < 1e-5), "{values:?}");
    }
}
