//! Mean, standard deviation, and the interval of a mean.

use serde::{Deserialize, Serialize};

/// Mean and sample standard deviation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The values, in the order of the seeds.
    pub values: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation; none for a single value.
    pub std: Option<f64>,
}

impl Spread {
    /// Of at least one value; the mean of none is no number.
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        let std = (values.len() > 1).then(|| (square / (n - 1.0)).sqrt());
        Self {
            values: values.into(),
            mean,
            std,
        }
    }

    /// `83.00 ± 1.41`.
    pub fn show(&self) -> String {
        self.show_with(2)
    }

    /// As [`Spread::show`], with so many decimals.
    pub fn show_with(&self, decimals: usize) -> String {
        match self.std {
            None => format!("{:.decimals$}", self.mean),
            Some(std) => format!("{:.decimals$} ± {std:.decimals$}", self.mean),
        }
    }

    /// `+3.00 ± 1.41`.
    pub fn show_signed(&self) -> String {
        match self.std {
            None => format!("{:+.2}", self.mean),
            Some(std) => format!("{:+.2} ± {std:.2}", self.mean),
        }
    }

    /// Half the width of the 95 % interval of the mean, by Student's t; none for a single value.
    ///
    /// Values come in steps of `grain`. A few of them can be equal by chance, so the standard deviation
    /// counts as one step at least.
    pub fn uncertainty(&self, grain: f64) -> Option<f64> {
        let n = self.values.len();
        self.std
            .map(|std| quantile(n - 1) * std.max(grain) / (n as f64).sqrt())
    }
}

/// The 97.5 % quantile of Student's t.
pub(crate) fn quantile(freedom: usize) -> f64 {
    const TABLE: [f64; 10] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    ];
    match freedom.checked_sub(1).and_then(|at| TABLE.get(at)) {
        Some(t) => *t,
        // Its expansion around the normal distribution's quantile.
        None => {
            let n = freedom as f64;
            1.95996 + 2.37226 / n + 2.82225 / (n * n)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn students_t_is_that_of_the_tables() {
        assert_eq!(quantile(2), 4.303);
        for (freedom, want) in [(11, 2.201), (15, 2.131), (30, 2.042), (120, 1.980)] {
            let got = quantile(freedom);
            assert!((got - want).abs() < 3e-3, "{freedom}: {got}");
        }
    }

    #[test]
    fn equal_seeds_are_chance_not_certainty() {
        let equal = Spread::of(&[0.5, 0.5, 0.5]);
        assert_eq!(equal.std, Some(0.0));
        assert_eq!(equal.uncertainty(0.0), Some(0.0));
        assert_eq!(equal.uncertainty(0.5), Some(4.303 * 0.5 / 3f64.sqrt()));
        assert_eq!(Spread::of(&[0.5]).uncertainty(0.5), None);
    }
}
