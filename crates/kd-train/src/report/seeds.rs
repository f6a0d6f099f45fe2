//! Several seeds as one line: their mean, and the band between the lowest and the highest.

use std::collections::BTreeMap;

/// A value over training.
pub(super) type Points = Vec<(f64, f64)>;

/// Mean, and `(x, lowest, highest)` where there are several lines. At each place the lines that go so far
/// count.
pub(super) fn over_seeds(lines: &[Points]) -> (Points, Vec<(f64, f64, f64)>) {
    if let [line] = lines {
        return (line.clone(), Vec::new());
    }
    // Places are at least 0, where the bits of numbers have their order.
    let mut at: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    for (x, y) in lines.iter().flatten() {
        at.entry(x.max(0.0).to_bits()).or_default().push(*y);
    }
    let at = at
        .into_iter()
        .map(|(x, values)| (f64::from_bits(x), values));
    let summed: Vec<_> = at
        .map(|(x, values)| {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            (x, mean, low, high)
        })
        .collect();
    let points = summed.iter().map(|(x, mean, ..)| (*x, *mean));
    let band = summed.iter().map(|(x, _, low, high)| (*x, *low, *high));
    (points.collect(), band.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_become_their_mean_and_range() {
        let (points, band) = over_seeds(&[
            vec![(1.0, 10.0), (2.0, 20.0)],
            vec![(1.0, 14.0), (2.0, 24.0), (3.0, 30.0)],
        ]);
        assert_eq!(points, [(1.0, 12.0), (2.0, 22.0), (3.0, 30.0)]);
        assert_eq!(band[1], (2.0, 20.0, 24.0));
        let alone = vec![(1.0, 10.0)];
        assert_eq!(over_seeds(std::slice::from_ref(&alone)), (alone, vec![]));
        assert_eq!(over_seeds(&[]), (vec![], vec![]));
    }
}
