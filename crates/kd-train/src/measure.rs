//! How long a network takes.

use std::time::{Duration, Instant};

use kd_core::Taps;
use kd_kernels::PreparedWeights;
use kd_models::{Backbone, Input};

use crate::summary::Latency;

/// Longest time spent on one measurement.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most repetitions of one measurement.
const REPETITIONS: usize = 100;
/// Repetitions that are not counted: kernels are compiled and caches filled in them.
const WARM_UP: usize = 3;

/// Seconds of single forward passes, sorted.
fn times<N: Backbone>(network: &N, example: &N::Input) -> Vec<f64> {
    let prepared = PreparedWeights::new();
    let once = || {
        let start = Instant::now();
        // Reading the logits waits for the device.
        let output = prepared.run(|| network.forward(example.clone(), &Taps::none()));
        let _ = output.logits.into_data();
        start.elapsed().as_secs_f64()
    };
    (0..WARM_UP).for_each(|_| {
        once();
    });
    let begin = Instant::now();
    let mut times = vec![once()];
    while times.len() < REPETITIONS && begin.elapsed() < PATIENCE {
        times.push(once());
    }
    times.sort_by(f64::total_cmp);
    times
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted[index.clamp(1, sorted.len()) - 1]
}

/// Latency of an example of one sample on the plain device.
pub(crate) fn latency<N: Backbone>(network: &N, example: &N::Input) -> Latency {
    let times = times(network, example);
    Latency {
        median_ms: 1e3 * quantile(&times, 0.5),
        p95_ms: 1e3 * quantile(&times, 0.95),
    }
}

/// Samples per second of an example of several, by the median batch.
pub(crate) fn throughput<N: Backbone>(network: &N, example: &N::Input) -> f64 {
    example.samples() as f64 / quantile(&times(network, example), 0.5)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let sorted = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile(&sorted, 0.5), 2.0);
        assert_eq!(quantile(&sorted, 0.95), 4.0);
        assert_eq!(quantile(&[7.0], 0.5), 7.0);
    }
}
