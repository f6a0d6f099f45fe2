//! Repeated timing of one piece of work.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::Device;

/// Seconds of single repetitions, sorted; never empty.
pub struct Seconds(Vec<f64>);

impl Seconds {
    /// The shortest repetition.
    pub fn best(&self) -> f64 {
        self.0[0]
    }

    /// The middle repetition, or the mean of the two in the middle.
    pub fn median(&self) -> f64 {
        let (low, high) = ((self.0.len() - 1) / 2, self.0.len() / 2);
        (self.0[low] + self.0[high]) / 2.0
    }
}

/// Does the work once uncounted, which fills caches and compiles kernels, then `repeat` times.
///
/// # Errors
/// What the work returns, and when the device fails.
pub fn repeat(
    repeat: u32,
    device: &Device,
    mut work: impl FnMut() -> Result<()>,
) -> Result<Seconds> {
    let mut once = || -> Result<f64> {
        let start = Instant::now();
        work()?;
        // A GPU computes in the background.
        device.sync().context("wait for the device")?;
        Ok(start.elapsed().as_secs_f64())
    };
    once()?;
    let mut seconds = (0..repeat.max(1))
        .map(|_| once())
        .collect::<Result<Vec<_>>>()?;
    seconds.sort_by(f64::total_cmp);
    Ok(Seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Seconds(vec![1.0]).median(), 1.0);
        assert_eq!(Seconds(vec![1.0, 3.0, 9.0]).median(), 3.0);
        assert_eq!(Seconds(vec![1.0, 3.0, 5.0, 9.0]).median(), 4.0);
        assert_eq!(Seconds(vec![1.0, 3.0]).best(), 1.0);
    }

    #[test]
    #[cfg(feature = "flex")]
    fn the_first_time_is_not_counted() {
        let mut calls = 0;
        let seconds = repeat(3, &Device::flex(), || {
            calls += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((calls, seconds.0.len()), (4, 3));
    }
}
