//! What is measured, and how the times of a row are summed up.

use serde_json::{Value, json};

/// How a network is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub threads: usize,
    pub batch: usize,
}

/// A network in a runtime.
#[derive(Clone)]
pub struct Row {
    /// Place of the network in the list.
    pub network: usize,
    /// `kd`, of a network on grids `kd f32` and `kd int8`, or the package's name.
    pub runtime: &'static str,
    pub setting: Setting,
    /// Milliseconds of single batches.
    pub times: Vec<f64>,
    /// Why there are none.
    pub problem: Option<String>,
}

/// The times of a row in milliseconds a batch, and what they mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Times {
    pub median: f64,
    pub p95: f64,
    pub p99: f64,
    pub images_per_second: f64,
}

impl Row {
    /// None when it could not be measured.
    pub fn times(&self) -> Option<Times> {
        let mut sorted = self.times.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let index = (sorted.len() as f64 * share).ceil() as usize;
            sorted.get(index.max(1) - 1).copied()
        };
        let median = at(0.5)?;
        Some(Times {
            median,
            p95: at(0.95)?,
            p99: at(0.99)?,
            images_per_second: 1e3 * self.setting.batch as f64 / median,
        })
    }

    pub fn json(&self, network: &str) -> Value {
        let Setting { threads, batch } = self.setting;
        let mut row = json!({
            "network": network, "runtime": self.runtime, "threads": threads, "batch": batch,
        });
        if let Some(times) = self.times() {
            row["median_ms"] = times.median.into();
            row["p95_ms"] = times.p95.into();
            row["p99_ms"] = times.p99.into();
            row["images_per_second"] = times.images_per_second.into();
            row["repeats"] = self.times.len().into();
        }
        if let Some(problem) = &self.problem {
            row["problem"] = problem.as_str().into();
        }
        row
    }
}

impl Row {
    /// Whether it is one of ours.
    pub fn is_ours(&self) -> bool {
        self.runtime.starts_with("kd")
    }
}

/// How many times as fast as the fastest other runtime ours is, by the medians of one setting.
pub fn lead(rows: &[Row], ours: &Row) -> Option<f64> {
    let others = rows
        .iter()
        .filter(|row| row.network == ours.network && row.setting == ours.setting && !row.is_ours());
    let others = others.filter_map(Row::times).map(|times| times.median);
    let best = others.min_by(f64::total_cmp)?;
    Some(best / ours.times()?.median)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(runtime: &'static str, times: &[f64]) -> Row {
        Row {
            network: 0,
            runtime,
            setting: Setting {
                threads: 1,
                batch: 4,
            },
            times: times.to_vec(),
            problem: None,
        }
    }

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let times: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let times = row("kd", &times).times().unwrap();
        assert_eq!([times.median, times.p95, times.p99], [100.0, 190.0, 198.0]);
        assert_eq!(times.images_per_second, 40.0);
        assert_eq!(row("kd", &[]).times(), None);
    }

    #[test]
    fn the_lead_is_over_the_fastest_other() {
        let rows = [
            row("kd", &[2.0]),
            row("onnxruntime", &[6.0]),
            row("openvino", &[3.0]),
        ];
        assert_eq!(lead(&rows, &rows[0]), Some(1.5));
        let with_integers = [row("kd int8", &[1.0]), rows[0].clone(), rows[2].clone()];
        assert_eq!(lead(&with_integers, &with_integers[0]), Some(3.0));
        assert_eq!(lead(&with_integers, &with_integers[1]), Some(1.5));
        assert_eq!(lead(&rows[..1], &rows[0]), None);
    }
}
