//! The range with the smallest error.

use super::{checked, ends};
use crate::Error;
use crate::quantise::{Grid, Levels};

/// A symmetric range and what it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The range ends at ± this.
    pub high: f32,
    /// Sum of squared differences between the values and their neighbours on the grid.
    pub error: f64,
}

/// The best of the `candidates` ranges that end at `i / candidates` of the largest absolute value, by the sum of squared
/// errors of all values; and the one that holds all of them.
///
/// # Errors
/// [`Error::Calibration`] for no values, or one that is not finite; [`Error::Option`] for no candidates.
pub fn least_squares(values: &[f32], levels: Levels, candidates: usize) -> Result<[Fit; 2], Error> {
    checked(values)?;
    let [low, high] = ends(values);
    let largest = high.max(-low);
    let fit = |i: usize| {
        let high = (f64::from(largest) * i as f64 / candidates as f64) as f32;
        let grid = Grid::symmetric(-high, high, levels);
        let errors = values.iter().map(|value| {
            let difference = f64::from(*value) - f64::from(grid.snap(*value));
            difference * difference
        });
        Fit {
            high,
            error: errors.sum(),
        }
    };
    let fits = (1..=candidates).map(fit);
    let best = fits.min_by(|a, b| a.error.total_cmp(&b.error));
    match best {
        Some(best) => Ok([best, fit(candidates)]),
        None => Err(Error::Option {
            option: "candidates",
            problem: "0 ranges cannot be compared: 100 is usual".into(),
        }),
    }
}
