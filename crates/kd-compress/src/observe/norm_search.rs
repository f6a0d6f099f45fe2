//! The range with the smallest expected squared error, by histogram.

use super::{Histogram, checked, ends};
use crate::Error;

/// How many parts a bin is cut into when its histogram gets another range.
const PARTS: usize = 16;
/// By how much the share of values that is cut off grows a step.
const STEP: f64 = 1e-5;

/// A histogram of everything, and the search for a range that leaves out what is not worth its levels: from each end in
/// turn, as long as the expected squared error falls.
///
/// Source: PyTorch's `HistogramObserver`, after `NonlinearQuantizationParamsSearch` of Caffe2.
#[derive(Clone, Debug)]
pub struct NormSearch {
    bins: usize,
    /// Levels of the grid that the range is for.
    levels: usize,
    counted: Option<Histogram>,
}

impl NormSearch {
    /// So many bins (2048 is usual) for a grid of so many levels.
    pub fn new(bins: usize, levels: usize) -> Self {
        Self {
            bins,
            levels,
            counted: None,
        }
    }

    /// Takes a batch in.
    ///
    /// # Errors
    /// [`Error::Calibration`] for no values, or one that is not finite.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), Error> {
        checked(values)?;
        let [mut low, mut high] = ends(values).map(f64::from);
        if let Some(old) = &self.counted {
            low = low.min(old.range[0]);
            high = high.max(old.range[1]);
        }
        let mut counted = Histogram::empty(self.bins, [low, high]);
        counted.add(values);
        if let Some(old) = self.counted.take() {
            let parts = old.counts.len() * PARTS;
            let width = (old.range[1] - old.range[0]) / parts as f64;
            for part in 0..parts {
                let middle = old.range[0] + (part as f64 + 0.5) * width;
                let place = ((middle - low) / counted.width()) as usize;
                counted.counts[place.min(self.bins - 1)] += old.counts[part / PARTS] / PARTS as f64;
            }
        }
        self.counted = Some(counted);
        Ok(())
    }

    /// The range that was found.
    ///
    /// # Errors
    /// [`Error::Calibration`] before the first batch.
    pub fn range(&self) -> Result<[f32; 2], Error> {
        let histogram = self.counted.as_ref().ok_or_else(|| Error::Calibration {
            problem: "nothing was observed: give it a batch of data".into(),
        })?;
        let total = histogram.total();
        let mut sum = 0.0;
        let until: Vec<f64> = histogram
            .counts
            .iter()
            .map(|count| {
                sum += count;
                sum
            })
            .collect();
        let (mut alpha, mut beta) = (0.0, 1.0);
        let (mut start, mut end) = (0, self.bins - 1);
        let mut least = f64::INFINITY;
        while alpha < beta {
            let (next_alpha, next_beta) = (alpha + STEP, beta - STEP);
            let (mut left, mut right) = (start, end);
            while left < end && until[left] < next_alpha * total {
                left += 1;
            }
            while right > start && until[right] > next_beta * total {
                right -= 1;
            }
            let next = match left - start > end - right {
                true => {
                    alpha = next_alpha;
                    (left, end)
                }
                false => {
                    beta = next_beta;
                    (start, right)
                }
            };
            if next == (start, end) {
                continue;
            }
            let error = self.error(histogram, next);
            if error > least {
                break;
            }
            least = error;
            (start, end) = next;
        }
        Ok([start, end + 1].map(|edge| histogram.edge(edge) as f32))
    }

    /// The expected squared error of a grid from one bin to another, values uniform within a bin.
    fn error(&self, histogram: &Histogram, (start, end): (usize, usize)) -> f64 {
        let width = histogram.width();
        let level = width * (end - start + 1) as f64 / self.levels as f64;
        if level == 0.0 {
            return 0.0;
        }
        let last = (self.levels - 1) as f64;
        let between = |from: f64, to: f64| (to.powi(3) - from.powi(3)) / 3.0;
        let whole = between(-level / 2.0, level / 2.0);
        let bins = histogram.counts.iter().enumerate();
        let errors = bins.map(|(bin, count)| {
            let from = (bin as f64 - start as f64) * width;
            let to = from + width;
            let [first, second] = [from, to].map(|at| (at / level).floor().clamp(0.0, last));
            let [first_middle, second_middle] = [first, second].map(|place| (place + 0.5) * level);
            let area = between(from - first_middle, level / 2.0)
                + (second - first - 1.0) * whole
                + between(-level / 2.0, to - second_middle);
            count / width * area
        });
        errors.sum()
    }
}
