//! The range that loses the least information.

use super::Histogram;

/// What is added to empty bins.
const SMOOTHING: f64 = 1e-4;

/// The range around 0 for which the counts, with those outside moved to its ends, have the smallest divergence
/// (Kullback and Leibler) from themselves in `levels` bins. `[low, high]` are the ends of the data, which it never
/// leaves. The histogram must be that of a range around 0.
///
/// Source: S. Migacz, "8-bit Inference with TensorRT", GTC 2017, in the form of ONNX Runtime's.
pub fn entropy_range(histogram: &Histogram, levels: usize, [low, high]: [f32; 2]) -> [f32; 2] {
    let bins = histogram.counts.len();
    let (middle, half) = (bins / 2, levels / 2);
    let mut best = (f32::INFINITY, [middle - half.min(middle), bins]);
    for reach in half..=middle {
        let (start, end) = (middle - reach, (middle + reach + 1).min(bins));
        let loss = divergence(&histogram.counts, start, end, levels);
        if loss < best.0 {
            best = (loss, [start, end]);
        }
    }
    let [start, end] = best.1.map(|edge| histogram.edge(edge) as f32);
    [start.max(low), end.min(high)]
}

fn divergence(counts: &[f64], start: usize, end: usize, levels: usize) -> f32 {
    let inside = &counts[start..end];
    let mut reference = inside.to_vec();
    let last = reference.len() - 1;
    reference[0] += counts[..start].iter().sum::<f64>();
    reference[last] += counts[end..].iter().sum::<f64>();
    let merged = inside.len() / levels;
    let mut candidate = vec![0.0; inside.len()];
    for level in 0..levels {
        let bins = level * merged..(level + 1) * merged;
        let mut sum: f64 = inside[bins.clone()].iter().sum();
        if level + 1 == levels {
            sum += inside[levels * merged..].iter().sum::<f64>();
        }
        let filled = reference[bins.clone()]
            .iter()
            .filter(|count| **count != 0.0);
        match filled.count() {
            0 => {}
            // Counts are integers there.
            filled => candidate[bins].fill((sum / filled as f64).floor()),
        }
    }
    match (smooth(&reference), smooth(&candidate)) {
        (Some(p), Some(q)) => {
            let (all, other) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
            let terms = p.iter().zip(&q);
            let sum: f64 = terms
                .map(|(p, q)| p / all * ((p / all) / (q / other)).ln())
                .sum();
            sum as f32
        }
        _ => f32::INFINITY,
    }
}

/// Gives empty bins a little, taken from the others; none where all are empty.
fn smooth(counts: &[f64]) -> Option<Vec<f64>> {
    let empty = counts.iter().filter(|count| **count == 0.0).count();
    let filled = counts.len() - empty;
    let taken = SMOOTHING * empty as f64 / filled as f64;
    let smoothed = counts.iter().map(|count| match *count {
        0.0 => SMOOTHING,
        count => count - taken,
    });
    let smoothed: Vec<f64> = smoothed.collect();
    (filled > 0 && smoothed.iter().all(|count| *count > 0.0)).then_some(smoothed)
}
