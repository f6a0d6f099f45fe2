//! Counts of values in bins of one width.

/// Bins of one width.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Values in each bin.
    pub counts: Vec<f64>,
    /// Where the first bin begins and the last ends.
    pub range: [f64; 2],
}

impl Histogram {
    /// So many bins of a range, without values.
    pub fn empty(bins: usize, range: [f64; 2]) -> Self {
        Self {
            counts: vec![0.0; bins],
            range,
        }
    }

    /// Where bin `index` begins.
    pub fn edge(&self, index: usize) -> f64 {
        self.range[0] + index as f64 * self.width()
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        (self.range[1] - self.range[0]) / self.counts.len() as f64
    }

    /// Adds values. Those outside of the range are left out; the last bin holds its end.
    pub fn add(&mut self, values: &[f32]) {
        let [low, high] = self.range;
        let last = self.counts.len() - 1;
        for value in values.iter().map(|value| f64::from(*value)) {
            if (low..=high).contains(&value) {
                let place = (value - low) / self.width();
                self.counts[(place as usize).min(last)] += 1.0;
            }
        }
    }

    /// Number of values.
    pub fn total(&self) -> f64 {
        self.counts.iter().sum()
    }

    /// The first bin up to which that share of all values lies.
    pub fn quantile(&self, share: f64) -> usize {
        let total = self.total();
        let mut sum = 0.0;
        let found = self.counts.iter().position(|count| {
            sum += count / total;
            sum >= share
        });
        found.unwrap_or(self.counts.len() - 1)
    }
}
