//! How alike two networks see a set of samples: correlation of distances.

/// Euclidean distances of all pairs of rows of `width` numbers, each pair once.
pub(super) fn distances(rows: &[f32], width: usize) -> Vec<f64> {
    let rows: Vec<&[f32]> = rows.chunks(width.max(1)).collect();
    let mut distances = Vec::with_capacity(rows.len() * rows.len().saturating_sub(1) / 2);
    for (i, a) in rows.iter().enumerate() {
        for b in &rows[..i] {
            let square = a.iter().zip(*b).map(|(a, b)| f64::from(a - b).powi(2));
            distances.push(square.sum::<f64>().sqrt());
        }
    }
    distances
}

/// Pearson's correlation; 0 where one side never changes.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len()).max(1) as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / n;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let (mut both, mut own, mut others) = (0.0, 0.0, 0.0);
    for (a, b) in a.iter().zip(b) {
        let (a, b) = (a - mean_a, b - mean_b);
        both += a * b;
        own += a * a;
        others += b * b;
    }
    match own > 0.0 && others > 0.0 {
        true => both / (own * others).sqrt(),
        false => 0.0,
    }
}

/// Spearman's rank correlation; equal values share their mean rank.
pub(super) fn rank_correlation(a: &[f64], b: &[f64]) -> f64 {
    correlation(&ranks(a), &ranks(b))
}

fn ranks(values: &[f64]) -> Vec<f64> {
    let below = |v: &f64| values.iter().filter(|other| *other < v).count() as f64;
    let equal = |v: &f64| values.iter().filter(|other| *other == v).count() as f64;
    values
        .iter()
        .map(|v| below(v) + (equal(v) - 1.0) / 2.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlations_are_those_of_a_calculation_by_hand() {
        assert!((correlation(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.0]) - 1.0).abs() < 1e-12);
        // Sums of squares 2 and 14/3, of products 3.
        let found = correlation(&[1.0, 2.0, 3.0], &[1.0, 3.0, 4.0]);
        assert!(
            (found - 3.0 / (2.0f64 * 14.0 / 3.0).sqrt()).abs() < 1e-12,
            "{found}"
        );
        assert_eq!(correlation(&[1.0, 1.0], &[1.0, 2.0]), 0.0);
        assert!((rank_correlation(&[1.0, 10.0, 100.0], &[3.0, 2.0, 1.0]) + 1.0).abs() < 1e-12);
        assert_eq!(ranks(&[5.0, 1.0, 5.0]), [1.5, 0.0, 1.5]);
        assert_eq!(
            distances(&[0.0, 0.0, 3.0, 4.0, 0.0, 1.0], 2),
            [5.0, 1.0, 18f64.sqrt()]
        );
    }
}
