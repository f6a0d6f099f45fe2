//! Embeddings against many rows of a bank: each row is read once, where it lies, for the value and the
//! gradient.

mod passes;

use rayon::prelude::*;

use crate::simd::Isa;
use passes::{Exponentials, SCORES, Softplus};

/// Tasks that the rows are divided into, whatever the number of threads.
const TASKS: usize = 16;

/// Samples by their place in a bank and their class.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    pub rows: Vec<u32>,
    /// As many as rows. NaN is no class.
    pub classes: Vec<f32>,
}

/// Embeddings `[batch, width]`, a bank `[rows, width]`, and the rows that are compared.
#[derive(Clone, Copy)]
pub(crate) struct Contrast<'a> {
    pub embeddings: &'a [f32],
    pub bank: &'a [f32],
    pub width: usize,
    /// The embeddings' own samples.
    pub own: &'a Samples,
    pub others: &'a Samples,
}

/// Of each embedding, over the rows that count.
pub(crate) struct Noise {
    /// Mean of `softplus(e · m − offset)`, `[batch]`.
    pub means: Vec<f32>,
    /// Gradient of the mean by the embedding, `[batch, width]`.
    pub slopes: Vec<f32>,
}

/// Embeddings in the order in which scores are computed: `[width, padded batch]`.
struct Packed {
    values: Vec<f32>,
    padded: usize,
    /// Row and class of each embedding's own sample, and for the padding some that never meet another's.
    own: Samples,
}

impl Contrast<'_> {
    fn batch(&self) -> usize {
        self.own.rows.len()
    }

    /// # Panics
    /// When sizes do not fit or a row lies outside of the bank.
    fn pack(&self, isa: Isa) -> Packed {
        let (batch, width) = (self.batch(), self.width);
        assert_eq!(
            self.embeddings.len(),
            batch * width,
            "one sample an embedding"
        );
        for samples in [self.own, self.others] {
            assert_eq!(samples.rows.len(), samples.classes.len(), "a class a row");
        }
        let rows = self.bank.len() / width.max(1);
        let outside = self.others.rows.iter().find(|row| **row as usize >= rows);
        assert_eq!(outside, None, "a row of a bank of {rows}");
        let padded = batch.next_multiple_of(SCORES[1] * isa.lanes());
        let mut values = vec![0.0; width * padded];
        for (b, embedding) in self.embeddings.chunks_exact(width.max(1)).enumerate() {
            for (d, value) in embedding.iter().enumerate() {
                values[d * padded + b] = *value;
            }
        }
        let mut own = self.own.clone();
        own.rows.resize(padded, u32::MAX);
        own.classes.resize(padded, f32::NAN);
        Packed {
            values,
            padded,
            own,
        }
    }

    /// Runs `work(first row, count)` for all rows, in tasks, and returns what each gives.
    fn tasks<R: Send>(&self, work: impl Fn(usize, usize) -> R + Sync) -> Vec<R> {
        let count = self.others.rows.len();
        let each = count.div_ceil(TASKS).next_multiple_of(SCORES[0]).max(1);
        (0..count.div_ceil(each))
            .into_par_iter()
            .map(|task| work(task * each, each.min(count - task * each)))
            .collect()
    }
}

/// Means and their gradients.
pub(crate) fn noise(isa: Isa, contrast: Contrast, offset: f32) -> Noise {
    let (batch, width) = (contrast.batch(), contrast.width);
    let packed = contrast.pack(isa);
    let parts = contrast.tasks(|first, count| {
        let mut part = Part {
            sums: vec![0.0; packed.padded],
            counts: vec![0; packed.padded],
            slopes: vec![0.0; packed.padded * width],
        };
        isa.run(Softplus {
            contrast,
            packed: &packed,
            rows: [first, count],
            offset,
            part: &mut part,
        });
        part
    });
    let mut means = vec![0.0f32; batch];
    let mut slopes = vec![0.0f32; batch * width];
    for b in 0..batch {
        let counted: usize = parts.iter().map(|part| part.counts[b]).sum();
        // Where no row counts there is nothing to divide.
        let share = 1.0 / counted.max(1) as f64;
        let sum: f64 = parts.iter().map(|part| part.sums[b]).sum();
        means[b] = (sum * share) as f32;
        for d in b * width..(b + 1) * width {
            let sum: f64 = parts.iter().map(|part| f64::from(part.slopes[d])).sum();
            slopes[d] = (sum * share) as f32;
        }
    }
    Noise { means, slopes }
}

/// What a task adds up, for each embedding.
struct Part {
    sums: Vec<f64>,
    counts: Vec<usize>,
    slopes: Vec<f32>,
}

/// `log` of the mean of `exp(e · m)` over all embeddings and rows, and as many scores more as there are in
/// `more`.
pub(crate) fn log_mean_exp(isa: Isa, contrast: Contrast, more: &[f32]) -> f32 {
    let packed = contrast.pack(isa);
    let mut parts = contrast.tasks(|first, count| {
        let mut found = Vec::new();
        isa.run(Exponentials {
            contrast,
            packed: &packed,
            rows: [first, count],
            found: &mut found,
        });
        merge(&found)
    });
    parts.extend(more.iter().map(|score| [f64::from(*score), 1.0]));
    let [largest, sum] = merge(&parts);
    let count = contrast.batch() * contrast.others.rows.len() + more.len();
    (largest + (sum / count as f64).ln()) as f32
}

/// The largest score and the sum of exponentials by it, of several such pairs.
fn merge(parts: &[[f64; 2]]) -> [f64; 2] {
    let largest = parts.iter().map(|part| part[0]);
    let largest = largest.fold(f64::NEG_INFINITY, |a, b| if b <= a { a } else { b });
    let sums = parts.iter().map(|[at, sum]| sum * (at - largest).exp());
    [largest, sums.sum()]
}
