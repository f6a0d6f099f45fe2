//! The smallest and the largest value.

use super::{checked, ends};
use crate::Error;

/// The ends of all values so far, or their moving average over batches.
#[derive(Clone, Copy, Debug)]
pub struct MinMax {
    /// Weight of the newest batch; none for the ends of everything.
    average: Option<f32>,
    ends: Option<[f32; 2]>,
}

impl MinMax {
    /// Keeps the ends of everything.
    pub fn new() -> Self {
        Self {
            average: None,
            ends: None,
        }
    }

    /// Moves by this share of the way to the ends of each batch, after the first; 0.01 is usual.
    pub fn averaging(share: f32) -> Self {
        Self {
            average: Some(share),
            ends: None,
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// [`Error::Calibration`] for no values, or one that is not finite.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        checked(values)?;
        let [low, high] = ends(values);
        self.ends = Some(match (self.ends, self.average) {
            (None, _) => [low, high],
            (Some([old_low, old_high]), None) => [old_low.min(low), old_high.max(high)],
            (Some([old_low, old_high]), Some(share)) => [
                old_low + share * (low - old_low),
                old_high + share * (high - old_high),
            ],
        });
        Ok(())
    }

    /// Smallest and largest value.
    ///
    /// # Errors
    /// [`Error::Calibration`] before the first batch.
    pub fn range(&self) -> Result<[f32; 2], Error> {
        self.ends.ok_or_else(|| Error::Calibration {
            problem: "nothing was observed: give it a batch of data".into(),
        })
    }
}

impl Default for MinMax {
    fn default() -> Self {
        Self::new()
    }
}

/// The values of each index along `axis`, in order.
pub fn per_channel(values: &[f32], shape: &[usize], axis: usize) -> Vec<Vec<f32>> {
    let inner: usize = shape[axis + 1..].iter().product();
    let count = shape[axis];
    let mut channels = vec![Vec::with_capacity(values.len() / count.max(1)); count];
    for (place, run) in values.chunks(inner.max(1)).enumerate() {
        channels[place % count].extend_from_slice(run);
    }
    channels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_data_is_refused() {
        let told = |problem: Error| problem.to_string();
        let mut observer = MinMax::new();
        assert!(told(observer.range().unwrap_err()).contains("nothing was observed"));
        assert!(told(observer.observe(&[]).unwrap_err()).contains("no values"));
        assert!(told(observer.observe(&[1.0, f32::NAN]).unwrap_err()).contains("a value is NaN"));
    }

    #[test]
    fn channels_are_those_of_the_axis() {
        let values: Vec<f32> = (0..12_u8).map(f32::from).collect();
        let found = per_channel(&values, &[2, 3, 2], 1);
        assert_eq!(found[1], [2.0, 3.0, 8.0, 9.0]);
    }
}
