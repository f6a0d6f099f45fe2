//! What each layer computes, by definition: plain loops over integers.

use super::{ByteGrid, ConvolutionSpec, Data, Map, PoolKind, PoolSpec};

/// A map of integers, or of floats, `[channels, height, width]`, without a border.
#[derive(Clone, Debug, PartialEq)]
pub struct Plain {
    pub map: Map,
    /// Integers are floats here, without a loss.
    pub values: Vec<f32>,
}

impl Plain {
    /// Values that follow from a key: every integer of the grid may come, and floats from −3 to 3.
    pub fn drawn(map: Map, key: &str) -> Self {
        let count = map.channels * map.height * map.width;
        let drawn = kd_goldens::uniform(key, count).into_iter();
        let values = drawn.map(|u| match map.grid {
            Some(grid) => {
                let [low, high] = grid.levels().map(f64::from);
                // Ends come often.
                (low + (1.2 * u + 1.0) / 2.0 * (high - low))
                    .round()
                    .clamp(low, high) as f32
            }
            None => 3.0 * u as f32,
        });
        Self {
            map,
            values: values.collect(),
        }
    }

    pub fn of(map: Map, value: impl Fn(usize, usize, usize) -> f32) -> Self {
        let mut values = Vec::new();
        for channel in 0..map.channels {
            for y in 0..map.height {
                for x in 0..map.width {
                    values.push(value(channel, y, x));
                }
            }
        }
        Self { map, values }
    }

    pub fn at(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.values[(channel * self.map.height + y) * self.map.width + x]
    }

    /// How far from the integer of 0.
    fn above_zero(&self, channel: usize, y: usize, x: usize) -> f32 {
        self.at(channel, y, x) - self.map.grid.map_or(0.0, |grid| grid.zero() as f32)
    }

    /// As layers have it in memory.
    pub fn data(&self) -> Data {
        let mut data = self.map.zeros();
        for channel in 0..self.map.channels {
            for y in 0..self.map.height {
                for x in 0..self.map.width {
                    let (place, value) = (self.map.at(y, x) + channel, self.at(channel, y, x));
                    match (&mut data, self.map.grid) {
                        (Data::Bytes(bytes), Some(grid)) => {
                            bytes[place] = (value as i32 - grid.first()) as u8;
                        }
                        (Data::Floats(floats), _) => floats[place] = value,
                        _ => unreachable!("integers have a grid"),
                    }
                }
            }
        }
        data
    }
}

fn scale(map: &Map) -> f32 {
    map.grid.map_or(1.0, |grid| grid.scale())
}

/// Bounded, and where there is a grid rounded and placed.
pub fn finished(v: f32, map: &Map, [low, high]: [f32; 2]) -> f32 {
    let Some(grid) = map.grid else {
        return v.max(low).min(high);
    };
    let placed = (v.round_ties_even() as i32).saturating_add(grid.zero());
    placed.clamp(grid.quantise(low), grid.quantise(high)) as f32
}

pub fn convolution(spec: &ConvolutionSpec, x: &Plain, residual: Option<&Plain>) -> Plain {
    let [down, across] = spec.kernel;
    let inputs = spec.input.channels / spec.groups;
    let outputs = spec.output.channels / spec.groups;
    Plain::of(spec.output, |output, row, column| {
        let mut sum = spec.bias[output];
        for input in 0..inputs {
            for ky in 0..down {
                for kx in 0..across {
                    let at = |place: usize, tap: usize, axis: usize, size: usize| {
                        let place = place * spec.stride[axis] + tap * spec.dilation[axis];
                        let place = place.checked_sub(spec.padding[axis])?;
                        (place < size).then_some(place)
                    };
                    let y = at(row, ky, 0, spec.input.height);
                    let place = y.zip(at(column, kx, 1, spec.input.width));
                    let Some((y, x_at)) = place else { continue };
                    let value = x.above_zero(output / outputs * inputs + input, y, x_at);
                    let weight = ((output * inputs + input) * down + ky) * across + kx;
                    sum += value as i32 * i32::from(spec.weight[weight]);
                }
            }
        }
        let factor = scale(&spec.input) * spec.weight_scales[output] / scale(&spec.output);
        let mut v = sum as f32 * factor;
        if let Some(residual) = residual {
            let other = scale(&residual.map) / scale(&spec.output);
            v += residual.above_zero(output, row, column) * other;
        }
        finished(v, &spec.output, spec.clip)
    })
}

pub fn add([a, b]: [&Plain; 2], output: Map, clip: [f32; 2]) -> Plain {
    Plain::of(output, |channel, y, x| {
        let [a, b] =
            [a, b].map(|from| from.above_zero(channel, y, x) * (scale(&from.map) / scale(&output)));
        finished(a + b, &output, clip)
    })
}

pub fn channels(
    inputs: &[Plain],
    output: Map,
    taken: &[(usize, usize)],
    affine: Option<[&[f32]; 2]>,
    clip: [f32; 2],
) -> Plain {
    Plain::of(output, |channel, y, x| {
        let (source, from) = taken[channel];
        let input = &inputs[source];
        let value = input.above_zero(from, y, x);
        let factor = scale(&input.map) / scale(&output);
        let v = match affine {
            Some([factors, shifts]) => {
                value * (factor * factors[channel]) + shifts[channel] / scale(&output)
            }
            None => value * factor,
        };
        finished(v, &output, clip)
    })
}

pub fn pool(spec: &PoolSpec, x: &Plain) -> Plain {
    Plain::of(spec.output, |channel, row, column| {
        let mut inside = Vec::new();
        let mut counted = 0;
        for ky in 0..spec.kernel[0] {
            for kx in 0..spec.kernel[1] {
                let (y, x_at) = (row * spec.stride[0] + ky, column * spec.stride[1] + kx);
                let padded = [
                    spec.input.height + 2 * spec.padding[0],
                    spec.input.width + 2 * spec.padding[1],
                ];
                counted += usize::from(y < padded[0] && x_at < padded[1]);
                let there = (
                    y.checked_sub(spec.padding[0]),
                    x_at.checked_sub(spec.padding[1]),
                );
                if let (Some(y), Some(x_at)) = there
                    && y < spec.input.height
                    && x_at < spec.input.width
                {
                    inside.push([y, x_at]);
                }
            }
        }
        let values = inside.iter().map(|&[y, x_at]| x.at(channel, y, x_at));
        let count = match spec.kind {
            PoolKind::Max => return values.fold(f32::NEG_INFINITY, f32::max),
            PoolKind::Average {
                count_padding: true,
            } => counted,
            PoolKind::Average { .. } => inside.len(),
        };
        let above_zero = inside
            .iter()
            .map(|&[y, x_at]| x.above_zero(channel, y, x_at));
        let sum = above_zero.fold(0.0, |sum: f32, value| sum + value);
        let factor = scale(&spec.input) / scale(&spec.output) / count as f32;
        let clip = [f32::NEG_INFINITY, f32::INFINITY];
        finished(sum * factor, &spec.output, clip)
    })
}

pub fn images(image: &[f32], map: Map) -> Plain {
    let grid: ByteGrid = map.grid.expect("a grid");
    let values = image.iter().map(|x| grid.quantise(*x) as f32);
    Plain {
        map,
        values: values.collect(),
    }
}
