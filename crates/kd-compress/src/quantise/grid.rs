//! Scale and zero point from a range of numbers.

use serde::{Deserialize, Serialize};

use super::Levels;

/// The smallest scale: that of PyTorch's observers.
const LEAST: f32 = f32::EPSILON;

/// The numbers `scale · (q − zero_point)` of the integers `q` of `levels`.
///
/// Source: B. Jacob and others, "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
/// Inference", CVPR 2018.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grid {
    /// Distance of two neighbours.
    pub scale: f32,
    /// The integer of the number 0.
    pub zero_point: i32,
    /// All integers.
    pub levels: Levels,
}

impl Grid {
    /// With 0 in the middle: `scale = max(−low, high) / (steps / 2)`. With [`Levels::INT8_NARROW`] the largest number
    /// has the largest integer.
    pub fn symmetric(low: f32, high: f32, levels: Levels) -> Self {
        let largest = high.max(-low).max(0.0);
        let scale = largest / (levels.steps() as f32 / 2.0);
        Self {
            scale: scale.max(LEAST),
            zero_point: levels.middle(),
            levels,
        }
    }

    /// From end to end: `scale = (high − low) / steps`, the range widened to hold 0, which has an integer of its own,
    /// `round(levels.low − low / scale)`.
    pub fn affine(low: f32, high: f32, levels: Levels) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = ((high - low) / levels.steps() as f32).max(LEAST);
        let zero_point = levels.low - (low / scale).round_ties_even() as i32;
        Self {
            scale,
            zero_point: zero_point.clamp(levels.low, levels.high),
            levels,
        }
    }

    /// `clamp(round(x / scale) + zero_point)`, halves to even.
    pub fn quantise(&self, x: f32) -> i32 {
        let placed = (x / self.scale).round_ties_even() + self.zero_point as f32;
        // `as` saturates, and takes what is no number for 0.
        (placed as i32).clamp(self.levels.low, self.levels.high)
    }

    /// The number of an integer.
    pub fn dequantise(&self, level: i32) -> f32 {
        (level - self.zero_point) as f32 * self.scale
    }

    /// The nearest number of the grid.
    pub fn snap(&self, x: f32) -> f32 {
        self.dequantise(self.quantise(x))
    }

    /// The smallest and the largest number.
    pub fn range(&self) -> [f32; 2] {
        [self.levels.low, self.levels.high].map(|level| self.dequantise(level))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_on_every_grid_and_halves_go_to_even() {
        for (low, high) in [(-1.0, 2.0), (0.5, 3.0), (-3.0, -1.0), (0.0, 0.0)] {
            for levels in [Levels::INT8_NARROW, Levels::UINT8] {
                assert_eq!(Grid::affine(low, high, levels).snap(0.0), 0.0);
                assert_eq!(Grid::symmetric(low, high, levels).snap(0.0), 0.0);
            }
        }
        let ones = Grid {
            scale: 1.0,
            zero_point: 0,
            levels: Levels::INT8,
        };
        assert_eq!(
            [0.5, 1.5, 2.5, -0.5].map(|x| ones.quantise(x)),
            [0, 2, 2, 0]
        );
        assert_eq!(ones.quantise(f32::INFINITY), 127);
        assert_eq!(ones.quantise(-1e9), -128);
    }

    #[test]
    fn the_narrow_grid_reaches_the_largest_number() {
        let grid = Grid::symmetric(-2.0, 1.0, Levels::INT8_NARROW);
        assert_eq!(grid.quantise(-2.0), -127);
        assert_eq!(grid.range(), [-2.0, 2.0]);
    }
}
