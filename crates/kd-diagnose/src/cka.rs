//! How alike two networks see the same samples: linear centred kernel alignment.

/// Products of all pairs of `n` samples of one representation, `[n, n]` row by row.
#[derive(Clone, Debug)]
pub struct Gram {
    products: Vec<f64>,
    samples: usize,
}

impl Gram {
    /// The products of a set of samples with each other.
    ///
    /// # Panics
    /// Unless they are a square.
    pub fn new(products: Vec<f64>, samples: usize) -> Self {
        assert_eq!(products.len(), samples * samples, "a square of products");
        let mut products = products;
        // The unbiased estimator leaves out each sample with itself.
        (0..samples).for_each(|i| products[i * samples + i] = 0.0);
        Self { products, samples }
    }

    /// The unbiased estimator of the Hilbert-Schmidt independence criterion; it needs four samples.
    ///
    /// Source: L. Song, A. Smola, A. Gretton, J. Bedo, K. Borgwardt, "Feature Selection via Dependence Maximization",
    /// JMLR 2012.
    pub fn hsic(&self, other: &Self) -> f64 {
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
    /// ICML 2019.
    pub fn alignment(&self, other: &Self) -> f64 {
        ratio(self.hsic(other), self.hsic(self), other.hsic(other))
    }
}

fn ratio(both: f64, own: f64, others: f64) -> f64 {
    match own > 0.0 && others > 0.0 {
        true => both / (own * others).sqrt(),
        false => 0.0,
    }
}

/// Alignment of every level of one network with every level of another, from batches: each of the three criteria is the mean over
/// batches before the ratio is taken, so that no product is larger than a batch.
///
/// Source: T. Nguyen, M. Raghu, S. Kornblith, "Do Wide and Deep Networks Learn the Same Things?", ICLR 2021.
#[derive(Clone, Debug)]
pub struct Alignment {
    both: Vec<Vec<f64>>,
    own: Vec<f64>,
    others: Vec<f64>,
}

impl Alignment {
    /// Of so many levels each, before any batch.
    pub fn new(levels: usize, others: usize) -> Self {
        Self {
            both: vec![vec![0.0; others]; levels],
            own: vec![0.0; levels],
            others: vec![0.0; others],
        }
    }

    /// Takes in a batch, a [`Gram`] a level. One of fewer than four samples tells nothing.
    ///
    /// # Panics
    /// Unless there are as many levels as were announced, and as many samples in each.
    pub fn add(&mut self, grams: &[Gram], others: &[Gram]) {
        assert_eq!(
            (grams.len(), others.len()),
            (self.own.len(), self.others.len()),
            "levels of both networks"
        );
        if grams.iter().chain(others).any(|gram| gram.samples < 4) {
            return;
        }
        for ((gram, row), own) in grams.iter().zip(&mut self.both).zip(&mut self.own) {
            *own += gram.hsic(gram);
            for (other, sum) in others.iter().zip(row) {
                *sum += gram.hsic(other);
            }
        }
        for (other, sum) in others.iter().zip(&mut self.others) {
            *sum += other.hsic(other);
        }
    }

    /// By level of the first network, then of the second.
    pub fn values(&self) -> Vec<Vec<f64>> {
        let rows = self.both.iter().zip(&self.own);
        rows.map(|(row, own)| {
            let cells = row.iter().zip(&self.others);
            cells
                .map(|(both, other)| ratio(*both, *own, *other))
                .collect()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use kd_goldens::{read, uniform};
    use serde_json::Value;

    use super::*;

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
        let rows = uniform("rows", 40 * 3);
        // Two axes exchanged, one turned round, all three times as long, and moved.
        let turned: Vec<f64> = rows
            .chunks(3)
            .flat_map(|row| [3.0 * row[1] + 5.0, -3.0 * row[0], 3.0 * row[2] - 1.0])
            .collect();
        let same = gram(&rows, 3).alignment(&gram(&turned, 3));
        assert!((same - 1.0).abs() < 1e-9, "{same}");
        // Many more numbers than samples, which the biased form calls alike.
        let [one, other] = ["one", "other"].map(|key| gram(&uniform(key, 40 * 500), 500));
        let strangers = one.alignment(&other);
        assert!(strangers.abs() < 0.2, "{strangers}");
    }

    fn near(found: f64, wanted: &Value, what: &str) {
        let wanted = wanted.as_f64().unwrap();
        assert!(
            (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0),
            "{what}: {found}, not {wanted}"
        );
    }

    #[test]
    fn values_are_those_of_the_reference() {
        let cases = read("cka.json");
        let cases = cases["cases"].as_array().unwrap();
        assert!(cases.len() >= 3);
        for case in cases {
            let name = case["name"].as_str().unwrap();
            let size = |key: &str| case[key].as_u64().unwrap() as usize;
            let (samples, batch) = (size("samples"), size("batch"));
            let levels = |key: &str| -> Vec<(Vec<f64>, usize)> {
                let widths = case[key].as_array().unwrap().iter();
                widths
                    .enumerate()
                    .map(|(at, width)| {
                        let width = width.as_u64().unwrap() as usize;
                        let noise = uniform(&format!("{name}/{key}{at}"), samples * width);
                        let shared = uniform(&format!("{name}/shared"), samples * 4);
                        let value = |i: usize| noise[i] + shared[i / width * 4 + i % width % 4];
                        ((0..samples * width).map(value).collect(), width)
                    })
                    .collect()
            };
            let (teacher, student) = (levels("teacher"), levels("student"));
            let whole = |levels: &[(Vec<f64>, usize)]| -> Vec<Gram> {
                levels
                    .iter()
                    .map(|(rows, width)| gram(rows, *width))
                    .collect()
            };
            let (all, others) = (whole(&teacher), whole(&student));
            let mut batches = Alignment::new(teacher.len(), student.len());
            for from in (0..samples).step_by(batch) {
                let part = |levels: &[(Vec<f64>, usize)]| -> Vec<Gram> {
                    let to = (from + batch).min(samples);
                    let cut = levels
                        .iter()
                        .map(|(rows, w)| gram(&rows[from * w..to * w], *w));
                    cut.collect()
                };
                batches.add(&part(&teacher), &part(&student));
            }
            let of_batches = batches.values();
            for (row, one) in all.iter().enumerate() {
                for (column, other) in others.iter().enumerate() {
                    let what = format!("{name}, {row}, {column}");
                    near(one.hsic(other), &case["hsic"][row][column], &what);
                    near(one.alignment(other), &case["cka"][row][column], &what);
                    near(
                        of_batches[row][column],
                        &case["minibatch"][row][column],
                        &what,
                    );
                }
            }
        }
    }
}
