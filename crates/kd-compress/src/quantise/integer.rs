//! What an integer layer computes, by definition.

use super::Levels;

/// A convolution of integers: 8-bit images and weights, 32-bit sums.
#[derive(Clone, Copy, Debug)]
pub struct IntegerConvolution<'a> {
    /// `[batch, inputs, height, width]`.
    pub input: (&'a [i32], [usize; 4]),
    /// The integer of the number 0, which also lies around the image.
    pub input_zero: i32,
    /// `[outputs, inputs / groups, height, width]`.
    pub weight: (&'a [i32], [usize; 4]),
    /// `[outputs]`, in units of the input's scale times the weight's.
    pub bias: &'a [i32],
    /// Down and across.
    pub stride: usize,
    /// On every side.
    pub padding: usize,
    /// Groups of channels that do not see each other.
    pub groups: usize,
}

impl IntegerConvolution<'_> {
    /// Shape of the output, `[batch, outputs, height, width]`.
    pub fn shape(&self) -> [usize; 4] {
        let [batch, _, height, width] = self.input.1;
        let [outputs, _, down, across] = self.weight.1;
        let places =
            |size: usize, kernel: usize| (size + 2 * self.padding - kernel) / self.stride + 1;
        [batch, outputs, places(height, down), places(width, across)]
    }

    /// `bias + Σ (x − zero) · w`, in the order of [`Self::shape`].
    pub fn sums(&self) -> Vec<i32> {
        let [batch, outputs, rows, columns] = self.shape();
        let mut sums = Vec::with_capacity(batch * outputs * rows * columns);
        for image in 0..batch {
            for output in 0..outputs {
                for row in 0..rows {
                    for column in 0..columns {
                        let sum = self.sum([image, output, row, column]);
                        sums.push(self.bias[output] + sum);
                    }
                }
            }
        }
        sums
    }

    fn sum(&self, [image, output, row, column]: [usize; 4]) -> i32 {
        let (input, [_, channels, height, width]) = self.input;
        let (weight, [outputs, inputs, down, across]) = self.weight;
        let group = output / (outputs / self.groups);
        let mut sum = 0;
        for channel in 0..inputs {
            let plane = image * channels + group * inputs + channel;
            for y in 0..down {
                for x in 0..across {
                    let place = |at: usize, offset: usize, size: usize| {
                        let place = (at * self.stride + offset).checked_sub(self.padding)?;
                        (place < size).then_some(place)
                    };
                    let (Some(y_in), Some(x_in)) = (place(row, y, height), place(column, x, width))
                    else {
                        continue;
                    };
                    let value = input[(plane * height + y_in) * width + x_in] - self.input_zero;
                    let factor = weight[((output * inputs + channel) * down + y) * across + x];
                    sum += value * factor;
                }
            }
        }
        sum
    }
}

/// A sum as an 8-bit output: `clamp(round(sum · multiplier) + zero)`, halves to even, in `f32`. The multiplier is the
/// scale of the sum, the input's times the weight's, over that of the output.
pub fn requantise(sum: i32, multiplier: f32, zero: i32, levels: Levels) -> i32 {
    let placed = (sum as f32 * multiplier).round_ties_even() as i32;
    placed.saturating_add(zero).clamp(levels.low, levels.high)
}
