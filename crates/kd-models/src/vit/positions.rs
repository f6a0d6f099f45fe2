//! Learned positions for another number of patches.

use burn::tensor::{Device, Tensor, TensorData};

/// How positions are resized to another number of patches. The programs differ, and so do the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionResize {
    /// Bicubic with the kernel's `a = −0.5`, which is widened where the grid shrinks (timm).
    Antialiased,
    /// Bicubic with `a = −0.75` between the centres of the patches (Hugging Face, the DeiT repository).
    Centres,
    /// Bicubic with `a = −0.75` between the outermost patches, which stay where they are (torchvision).
    Corners,
}

/// The cubic convolution kernel (Keys, IEEE Transactions on Acoustics, Speech, and Signal Processing 1981).
fn cubic(a: f64, distance: f64) -> f64 {
    let t = distance.abs();
    if t <= 1.0 {
        ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0
    } else if t < 2.0 {
        ((a * t - 5.0 * a) * t + 8.0 * a) * t - 4.0 * a
    } else {
        0.0
    }
}

impl PositionResize {
    /// What each of `to` places takes of each of `from` places: `[to, from]`, row by row.
    pub(crate) fn shares(self, from: usize, to: usize) -> Vec<f64> {
        let step = from as f64 / to as f64;
        let mut shares = vec![0.0; to * from];
        for (place, row) in shares.chunks_mut(from).enumerate() {
            let centre = (place as f64 + 0.5) * step;
            match self {
                Self::Antialiased => widened(centre, step.max(1.0), row),
                Self::Centres => four(centre - 0.5, row),
                Self::Corners if to == 1 => four(0.0, row),
                Self::Corners => four(place as f64 * (from - 1) as f64 / (to - 1) as f64, row),
            }
        }
        shares
    }

    /// Positions `[1, leading + height · width, numbers]` for another grid: the `leading` ones stay, the others are
    /// resized along both sides.
    ///
    /// # Panics
    /// When the positions are not as many as the grid `from` says, or a side is 0.
    pub fn apply(
        self,
        positions: Tensor<3>,
        leading: usize,
        from: [usize; 2],
        to: [usize; 2],
    ) -> Tensor<3> {
        if from == to {
            return positions;
        }
        let [_, _, width] = positions.dims();
        let device = positions.device();
        let grid = positions.clone().narrow(1, leading, from[0] * from[1]);
        let tall = matrix(self.shares(from[0], to[0]), [to[0], from[0]], &device);
        let wide = matrix(self.shares(from[1], to[1]), [to[1], from[1]], &device);
        let grid = tall.matmul(grid.reshape([from[0], from[1] * width]));
        // [height, from, width] to [from, height, width], and back.
        let grid = grid.reshape([to[0], from[1], width]).swap_dims(0, 1);
        let grid = wide.matmul(grid.reshape([from[1], to[0] * width]));
        let grid = grid.reshape([to[1], to[0], width]).swap_dims(0, 1);
        let grid = grid.reshape([1, to[0] * to[1], width]);
        Tensor::cat(vec![positions.narrow(1, 0, leading), grid], 1)
    }

    /// Positions of a file, `[1, leading + any square, width]`, for the square grid `to`; none where they are not such.
    pub(crate) fn refit(
        self,
        values: &TensorData,
        leading: usize,
        [to, width]: [usize; 2],
        device: &Device,
    ) -> Option<TensorData> {
        let [1, positions, found] = values.shape().iter().copied().collect::<Vec<_>>()[..] else {
            return None;
        };
        let side = positions.checked_sub(leading)?.isqrt();
        if found != width || side == 0 || leading + side * side != positions {
            return None;
        }
        let positions = Tensor::from_data(values.clone().convert::<f32>(), device);
        let resized = self.apply(positions, leading, [side; 2], [to; 2]);
        Some(resized.into_data().convert::<f32>())
    }
}

fn matrix(values: Vec<f64>, shape: [usize; 2], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = values.into_iter().map(|v| v as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Four neighbours of `at`; what lies outside counts as the outermost.
fn four(at: f64, row: &mut [f64]) {
    let first = at.floor();
    for tap in -1..=2 {
        let place = first + f64::from(tap);
        let inside = place.clamp(0.0, (row.len() - 1) as f64);
        row[inside as usize] += cubic(-0.75, at - place);
    }
}

/// A kernel `wide` times as wide around `centre`; what lies outside is left out, and the shares add up to 1.
fn widened(centre: f64, wide: f64, row: &mut [f64]) {
    let reach = 2.0 * wide;
    let first = (centre - reach + 0.5).max(0.0) as usize;
    let end = ((centre + reach + 0.5) as usize).min(row.len());
    for (place, share) in row.iter_mut().enumerate().take(end).skip(first) {
        *share = cubic(-0.5, (place as f64 - centre + 0.5) / wide);
    }
    let sum: f64 = row.iter().sum();
    for share in row {
        *share /= sum;
    }
}
