//! Maps brought to another size by interpolation.

use burn::tensor::{Tensor, TensorData};

/// A map `[batch, channels, height, width]` at another size, interpolated between the pixels around each place: pixels
/// stand for their centres, and nothing is averaged where the map shrinks.
///
/// It is two products with constants, because not every backend has the gradient of an interpolation.
pub(super) fn bilinear(map: Tensor<4>, size: [usize; 2]) -> Tensor<4> {
    let [_, _, height, width] = map.dims();
    let options = (&map.device(), map.dtype());
    let matrix = |from: usize, to: usize| {
        let data = TensorData::new(weights(from, to), [1, 1, to, from]);
        Tensor::<4>::from_data(data, options)
    };
    let (rows, columns) = (matrix(height, size[0]), matrix(width, size[1]));
    rows.matmul(map.matmul(columns.transpose()))
}

/// The share of each of `from` pixels in each of `to`, row by row.
fn weights(from: usize, to: usize) -> Vec<f64> {
    let mut weights = vec![0.0; from * to];
    for (i, row) in weights.chunks_mut(from).enumerate() {
        let place = ((i as f64 + 0.5) * from as f64 / to as f64 - 0.5).max(0.0);
        let low = (place as usize).min(from - 1);
        let share = place - low as f64;
        row[low] += 1.0 - share;
        row[(low + 1).min(from - 1)] += share;
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::weights;

    #[test]
    fn a_size_of_its_own_is_kept_and_edges_are_repeated() {
        assert_eq!(weights(2, 2), [1.0, 0.0, 0.0, 1.0]);
        let doubled = [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0];
        assert_eq!(weights(2, 4), doubled);
        assert_eq!(weights(4, 2), [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
    }
}
