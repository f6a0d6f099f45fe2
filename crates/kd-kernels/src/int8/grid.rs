//! Grids of integers that fit a byte.

use std::fmt;

/// What an integer layer cannot be built of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntegerError(pub(super) String);

impl fmt::Display for IntegerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IntegerError {}

/// Multipliers below this leave sums within `f32`.
const MOST: f32 = 1.8e19;

/// The numbers `scale · (q − zero)` of the integers `q` from `low` to `high`, which are those of a byte with or without a sign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteGrid {
    scale: f32,
    zero: i32,
    levels: [i32; 2],
}

impl ByteGrid {
    /// A grid of integers from `low` to `high`, of which `zero` is one.
    ///
    /// # Errors
    /// [`IntegerError`] for integers that no byte holds, a zero point that is none of them, or a scale that is not a
    /// positive number.
    pub fn new(scale: f32, zero: i32, [low, high]: [i32; 2]) -> Result<Self, IntegerError> {
        let bytes = (0 <= low && high <= 255) || (-128 <= low && high <= 127);
        if !bytes || low >= high {
            return Err(IntegerError(format!(
                "the integers {low} to {high} are not those of a byte, 0 to 255 or -128 to 127"
            )));
        }
        if !(low..=high).contains(&zero) {
            return Err(IntegerError(format!(
                "the zero point {zero} is not from {low} to {high}"
            )));
        }
        if !(scale > 0.0 && scale < MOST) {
            return Err(IntegerError(format!(
                "the scale {scale:e} is not a positive number"
            )));
        }
        let levels = [low, high];
        Ok(Self {
            scale,
            zero,
            levels,
        })
    }

    /// Distance of two neighbours.
    pub fn scale(&self) -> f32 {
        self.scale
    }

    /// The integer of the number 0.
    pub fn zero(&self) -> i32 {
        self.zero
    }

    /// The smallest and the largest integer.
    pub fn levels(&self) -> [i32; 2] {
        self.levels
    }

    /// `clamp(round(x / scale) + zero)`, halves to even.
    pub fn quantise(&self, x: f32) -> i32 {
        let placed = (x / self.scale).round_ties_even() + self.zero as f32;
        // `as` saturates, and takes what is no number for 0.
        (placed as i32).clamp(self.levels[0], self.levels[1])
    }

    /// The integer that stands for the byte 0. Bytes in memory have no sign, so that one instruction serves both.
    pub fn first(&self) -> i32 {
        match self.levels[0] < 0 {
            true => -128,
            false => 0,
        }
    }

    /// The byte of the number 0.
    pub fn zero_byte(&self) -> u8 {
        (self.zero - self.first()) as u8
    }
}

/// A multiplier of sums.
pub(super) fn multiplier(value: f32) -> Result<f32, IntegerError> {
    match value.abs() < MOST {
        true => Ok(value),
        false => Err(IntegerError(format!(
            "a sum cannot be multiplied by {value:e}: the scales are too far apart"
        ))),
    }
}
