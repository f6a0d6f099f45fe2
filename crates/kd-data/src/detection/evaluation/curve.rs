//! Precision against recall.

use super::matching::Verdict;

/// Recalls at which COCO reads precision: 0, 0.01, .. 1.
const POINTS: usize = 101;

/// Precision against recall, of one class at one threshold.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    /// Precision at the recalls 0, 0.01, .. 1.
    pub precision: Vec<f64>,
    /// The last recall.
    pub recall: f64,
}

impl Curve {
    /// Mean precision at the recalls.
    pub fn average(&self) -> f64 {
        self.precision.iter().sum::<f64>() / POINTS as f64
    }
}

/// The curve at threshold `t`, from detections with the best first, each with how often it is there, and the number of
/// objects that count.
pub(super) fn curve<'a>(
    verdicts: impl Iterator<Item = (&'a Verdict, f64)>,
    objects: f64,
    t: usize,
) -> Curve {
    let (mut right, mut wrong) = (0.0, 0.0);
    let (mut recalls, mut precisions) = (Vec::new(), Vec::new());
    for (verdict, times) in verdicts {
        if verdict.counts[t] {
            match verdict.hit[t] {
                true => right += times,
                false => wrong += times,
            }
        }
        recalls.push(right / objects);
        precisions.push(right / (wrong + right + f64::EPSILON));
    }
    fall(&mut precisions);
    let at = |point: usize| {
        let recall = point as f64 * 0.01;
        let first = recalls.partition_point(|reached| *reached < recall);
        precisions.get(first).copied().unwrap_or(0.0)
    };
    Curve {
        precision: (0..POINTS).map(at).collect(),
        recall: recalls.last().copied().unwrap_or(0.0),
    }
}

/// Makes precision fall: at each place the largest of what follows.
pub(super) fn fall(precisions: &mut [f64]) {
    for i in (1..precisions.len()).rev() {
        precisions[i - 1] = precisions[i - 1].max(precisions[i]);
    }
}
