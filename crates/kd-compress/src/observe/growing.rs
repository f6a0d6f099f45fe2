//! Histograms whose range grows with the data, bins keeping their width.
//!
//! As ONNX Runtime collects them for its calibration.

use super::{Histogram, checked, ends};
use crate::Error;

/// Counts of values between `−t` and `t`, where `t` grows in whole bins.
#[derive(Clone, Debug)]
pub struct SymmetricHistogram {
    bins: usize,
    counted: Option<(Histogram, [f32; 2])>,
}

impl SymmetricHistogram {
    /// So many bins for the first batch.
    pub fn new(bins: usize) -> Self {
        Self {
            bins,
            counted: None,
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// [`Error::Calibration`] for no values, or one that is not finite.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        checked(values)?;
        let [low, high] = ends(values);
        let threshold = f64::from(high.max(-low));
        let Some((old, [old_low, old_high])) = self.counted.take() else {
            let mut counted = Histogram::empty(self.bins, [-threshold, threshold]);
            counted.add(values);
            self.counted = Some((counted, [low, high]));
            return Ok(());
        };
        let bins = old.counts.len();
        let old_threshold = old.range[1];
        let more = match threshold > old_threshold && old.width() > 0.0 {
            true => ((threshold - old_threshold) / old.width()).floor() as usize + 1,
            false => 0,
        };
        let threshold = old_threshold + more as f64 * old.width();
        let mut grown = Histogram::empty(bins + 2 * more, [-threshold, threshold]);
        grown.add(values);
        let middle = &mut grown.counts[more..more + bins];
        for (count, old) in middle.iter_mut().zip(&old.counts) {
            *count += old;
        }
        self.counted = Some((grown, [old_low.min(low), old_high.max(high)]));
        Ok(())
    }

    /// The counts, and the smallest and the largest value.
    ///
    /// # Errors
    /// [`Error::Calibration`] before the first batch.
    pub fn counted(&self) -> Result<(&Histogram, [f32; 2]), Error> {
        match &self.counted {
            Some((histogram, ends)) => Ok((histogram, *ends)),
            None => Err(nothing()),
        }
    }

    /// The range that holds `percent` of all values, half of the rest on each side, to the width of a bin.
    ///
    /// # Errors
    /// [`Error::Calibration`] before the first batch, [`Error::Option`] unless `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Result<[f32; 2], Error> {
        let (histogram, [low, high]) = self.counted()?;
        let cut = (100.0 - of_hundred(percent)?) / 200.0;
        let [left, right] = [cut, 1.0 - cut].map(|share| histogram.quantile(share));
        Ok([
            (histogram.edge(left) as f32).max(low),
            (histogram.edge(right) as f32).min(high),
        ])
    }
}

/// Counts of absolute values, where bins are added at the end.
#[derive(Clone, Debug)]
pub struct AbsoluteHistogram {
    bins: usize,
    counted: Option<Histogram>,
}

impl AbsoluteHistogram {
    /// So many bins for the first batch.
    pub fn new(bins: usize) -> Self {
        Self {
            bins,
            counted: None,
        }
    }

    /// Takes a batch in. Values below the smallest of the first batch are not counted.
    ///
    /// # Errors
    /// [`Error::Calibration`] for no values, or one that is not finite.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        checked(values)?;
        let sizes: Vec<f32> = values.iter().map(|value| value.abs()).collect();
        let [low, high] = ends(&sizes).map(f64::from);
        let counted = self
            .counted
            .get_or_insert_with(|| Histogram::empty(self.bins, [low, high]));
        let width = counted.width();
        while high > counted.range[1] && width > 0.0 {
            counted.counts.push(0.0);
            counted.range[1] += width;
        }
        counted.add(&sizes);
        Ok(())
    }

    /// The size below which `percent` of all absolute values lie, to the width of a bin: a symmetric range.
    ///
    /// # Errors
    /// [`Error::Calibration`] before the first batch, [`Error::Option`] unless `percent` is from 0 to 100.
    pub fn percentile(&self, percent: f64) -> Result<f32, Error> {
        let counted = self.counted.as_ref().ok_or_else(nothing)?;
        let place = counted.quantile(of_hundred(percent)? / 100.0);
        Ok(counted.edge(place) as f32)
    }
}

fn nothing() -> Error {
    Error::Calibration {
        problem: "nothing was observed: give it a batch of data".into(),
    }
}

fn of_hundred(percent: f64) -> Result<f64, Error> {
    match (0.0..=100.0).contains(&percent) {
        true => Ok(percent),
        false => Err(Error::Option {
            option: "percentile",
            problem: format!("{percent} is not from 0 to 100"),
        }),
    }
}
