//! From a sum to a value of the output.

use super::grid::multiplier;
use super::{ByteGrid, IntegerError, Map};

/// `v + BIG − BIG` is `v` rounded to a whole number, halves to even, as long as `v` is below 2²².
const BIG: f32 = 12_582_912.0;

/// What a number is bounded by and stored as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Finish {
    /// The bounds of `v`, which are whole where the output is integers.
    pub bounds: [f32; 2],
    /// The byte of 0.
    pub zero: i32,
}

impl Finish {
    /// For outputs of `map` whose numbers are within `clip`.
    pub fn new(map: &Map, clip: [f32; 2]) -> Self {
        match map.grid {
            Some(grid) => Self {
                bounds: clip.map(|end| bound(&grid, end)),
                zero: i32::from(grid.zero_byte()),
            },
            None => Self {
                bounds: clip,
                zero: 0,
            },
        }
    }

    /// Bounded.
    #[inline(always)]
    pub fn float(self, v: f32) -> f32 {
        v.max(self.bounds[0]).min(self.bounds[1])
    }

    /// Bounded, rounded and placed.
    #[inline(always)]
    pub fn byte(self, v: f32) -> u8 {
        (round(self.float(v)) + self.zero) as u8
    }
}

/// The nearest whole number of one that is below 2²², halves to even.
#[inline(always)]
pub(super) fn round(v: f32) -> i32 {
    ((v + BIG) - BIG) as i32
}

/// An end of a clip in steps from 0, within the grid.
fn bound(grid: &ByteGrid, end: f32) -> f32 {
    (grid.quantise(end) - grid.zero()) as f32
}

/// What another map adds to a sum: `(value − zero) · factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    pub zero: f32,
    pub factor: f32,
}

impl Term {
    /// Of a number of `from` in steps of `to`.
    pub fn new(from: &Map, to: &Map) -> Result<Self, IntegerError> {
        Ok(Self {
            zero: from.zero(),
            factor: multiplier(from.scale() / to.scale())?,
        })
    }

    #[inline(always)]
    pub fn of(self, value: f32) -> f32 {
        (value - self.zero) * self.factor
    }
}
