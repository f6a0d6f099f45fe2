//! Convolutions from their definition, in double precision.

use super::Geometry;

/// Output, input gradient and weight gradient, all dense.
pub(super) struct Reference {
    pub y: Vec<f64>,
    pub dx: Vec<f64>,
    pub dw: Vec<f64>,
}

impl Reference {
    /// Of dense `x`, `weight` and output gradient `dy`.
    pub fn new(geometry: &Geometry, x: &[f32], weight: &[f32], dy: &[f32]) -> Self {
        let [x, weight, dy] =
            [x, weight, dy].map(|v| v.iter().map(|v| f64::from(*v)).collect::<Vec<_>>());
        let mut found = Self {
            y: vec![0.0; dy.len()],
            dx: vec![0.0; x.len()],
            dw: vec![0.0; weight.len()],
        };
        each_product(geometry, |i, w, o| {
            found.y[o] += x[i] * weight[w];
            found.dx[i] += dy[o] * weight[w];
            found.dw[w] += dy[o] * x[i];
        });
        found
    }
}

/// Calls `visit(input, weight, output)` with the indices of every product of the convolution.
fn each_product(geometry: &Geometry, mut visit: impl FnMut(usize, usize, usize)) {
    let (input, output) = (geometry.input, geometry.output());
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let read = |axis: usize, place: usize, tap: usize| {
        let size = [input.height, input.width][axis];
        (place * geometry.stride[axis] + tap)
            .checked_sub(geometry.padding[axis])
            .filter(|place| *place < size)
    };
    for place in 0..output.pixels() {
        let (image, r, c) = (
            place / output.area(),
            place % output.area() / output.width,
            place % output.width,
        );
        for tap in 0..geometry.taps() {
            let (down, across) = (tap / geometry.kernel[1], tap % geometry.kernel[1]);
            let (Some(row), Some(column)) = (read(0, r, down), read(1, c, across)) else {
                continue;
            };
            let pixel = (image * input.height + row) * input.width + column;
            for out in 0..output.channels {
                let first = pixel * input.channels + out / outputs * inputs;
                for i in 0..inputs {
                    visit(
                        first + i,
                        geometry.weight_index(out, i, tap),
                        place * output.channels + out,
                    );
                }
            }
        }
    }
}
