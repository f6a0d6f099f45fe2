//! How alike two networks see a set of samples: centred kernel alignment and correlation of distances.

/// Products of all pairs of `n` samples of one representation, `[n, n]` row by row.
#[derive(Clone, Debug)]
pub(super) struct Gram {
    products: Vec<f64>,
    samples: usize,
}

impl Gram {
    pub fn new(products: Vec<f64>, samples: usize) -> Self {
        assert_eq!(products.len(), samples * samples, "a square of products");
        let mut products = products;
        // The unbiased estimator leaves out each sample with itself.
        (0..samples).for_each(|i| products[i * samples + i] = 0.0);
        Self { products, samples }
    }

    /// The unbiased estimator of the Hilbert-Schmidt independence criterion.
    fn hsic(&self, other: &Self) -> f64 {
        let n = self.samples as f64;
        let both = self.products.iter().zip(&other.products);
        let trace: f64 = both.map(|(a, b)| a * b).sum();
        let [own, others] = [self, other].map(Self::rows);
        let across: f64 = own.iter().zip(&others).map(|(a, b)| a * b).sum();
        let [own, others] = [own, others].map(|rows| rows.iter().sum::<f64>());
        let whole = own * others / ((n - 1.0) * (n - 2.0));
        (trace + whole - 2.0 * across / (n - 2.0)) / (n * (n - 3.0))
    }

    fn rows(&self) -> Vec<f64> {
        let rows = self.products.chunks(self.samples);
        rows.map(|row| row.iter().sum()).collect()
    }

    /// Linear centred kernel alignment with another representation of the same samples: 1 for the same up to rotation
    /// and scale, about 0 for one that has nothing to do with it.
    ///
    /// The estimators are unbiased, because samples are fewer than the numbers of a map, and the plain ones would then call
    /// any two networks alike.
    ///
    /// Source: S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of Neural Network Representations Revisited",
    /// ICML 2019; estimator: L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, JMLR 2012.
    pub fn alignment(&self, other: &Self) -> f64 {
        let own = self.hsic(self) * other.hsic(other);
        match own > 0.0 {
            true => self.hsic(other) / own.sqrt(),
            false => 0.0,
        }
    }
}

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

    /// Numbers that look random.
    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / 2f64.powi(31) - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    fn gram(rows: &[f64], width: usize) -> Gram {
        let rows: Vec<&[f64]> = rows.chunks(width).collect();
        let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum();
        let all = rows
            .iter()
            .flat_map(|a| rows.iter().map(move |b| product(a, b)));
        Gram::new(all.collect(), rows.len())
    }

    #[test]
    fn alignment_knows_rotations_scales_and_strangers() {
        let rows = noise(40 * 3, 1);
        // Two axes exchanged, one turned round, all three times as long, and moved.
        let turned: Vec<f64> = rows
            .chunks(3)
            .flat_map(|row| [3.0 * row[1] + 5.0, -3.0 * row[0], 3.0 * row[2] - 1.0])
            .collect();
        let same = gram(&rows, 3).alignment(&gram(&turned, 3));
        assert!((same - 1.0).abs() < 1e-9, "{same}");
        // Many more numbers than samples, which the biased form calls alike.
        let strangers = gram(&noise(40 * 500, 2), 500).alignment(&gram(&noise(40 * 500, 3), 500));
        assert!(strangers.abs() < 0.2, "{strangers}");
    }

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
