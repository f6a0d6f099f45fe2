//! The range of numbers that a grid should hold, found in data.

mod entropy;
mod growing;
mod histogram;
mod min_max;
mod norm_search;
mod squared_error;

pub use entropy::entropy_range;
pub use growing::{AbsoluteHistogram, SymmetricHistogram};
pub use histogram::Histogram;
pub use min_max::{MinMax, per_channel};
pub use norm_search::NormSearch;
pub use squared_error::{Fit, least_squares};

use crate::Error;

/// Refuses data without a value, or with one that is no number.
pub(crate) fn checked(values: &[f32]) -> Result<(), Error> {
    let problem = match values.iter().find(|value| !value.is_finite()) {
        _ if values.is_empty() => "there are no values: give it a batch of data".into(),
        Some(value) => format!("a value is {value}, which no grid holds"),
        None => return Ok(()),
    };
    Err(Error::Calibration { problem })
}

/// The smallest and the largest of values that are numbers.
pub(crate) fn ends(values: &[f32]) -> [f32; 2] {
    let low = values.iter().copied().fold(f32::INFINITY, f32::min);
    let high = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    [low, high]
}
