//! Embeddings against many rows of a bank: each row is read once, where it lies, for the value and the
//! gradient.

use rayon::prelude::*;

use crate::exponential::exp_of_negative;
use crate::simd::{Isa, Kernel, Simd};

/// Rows that stay in a cache between scores and gradient.
const BLOCK: usize = 64;
/// Tasks that the rows are divided into, whatever the number of threads.
const TASKS: usize = 16;
/// Rows and registers of embeddings of a tile of scores.
const SCORES: [usize; 2] = [4, 2];
/// Embeddings and registers of features of a tile of gradients.
const SLOPES: [usize; 2] = [4, 2];

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

/// Scores of up to [`BLOCK`] rows, `[rows, padded batch]`.
///
/// # Safety
/// The processor has the instructions of `S`; the rows lie within the bank.
#[inline(always)]
unsafe fn scores<S: Simd>(contrast: &Contrast, packed: &Packed, rows: &[u32], scores: &mut [f32]) {
    let (width, padded) = (contrast.width, packed.padded);
    for (tile, scores) in rows
        .chunks(SCORES[0])
        .zip(scores.chunks_mut(SCORES[0] * padded))
    {
        // The last tile repeats a row rather than being smaller.
        let row = |i: usize| tile[i.min(tile.len() - 1)] as usize;
        let from: [&[f32]; SCORES[0]] =
            std::array::from_fn(|i| &contrast.bank[row(i) * width..][..width]);
        for column in (0..padded).step_by(SCORES[1] * S::LANES) {
            // SAFETY: the padded batch is a multiple of the tile.
            unsafe {
                let mut sums = [[S::zero(); SCORES[1]]; SCORES[0]];
                for d in 0..width {
                    let at = packed.values.as_ptr().add(d * padded + column);
                    let e: [S::V; SCORES[1]] =
                        std::array::from_fn(|j| S::load(at.add(j * S::LANES)));
                    for i in 0..SCORES[0] {
                        let m = S::splat(*from[i].get_unchecked(d));
                        for j in 0..SCORES[1] {
                            sums[i][j] = S::fma(m, e[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..tile.len() {
                    for j in 0..SCORES[1] {
                        let to = scores.as_mut_ptr().add(i * padded + column + j * S::LANES);
                        S::store(to, sums[i][j]);
                    }
                }
            }
        }
    }
}

struct Softplus<'a> {
    contrast: Contrast<'a>,
    packed: &'a Packed,
    /// The first and how many.
    rows: [usize; 2],
    offset: f32,
    part: &'a mut Part,
}

impl Kernel for Softplus<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Packed { padded, own, .. } = self.packed;
        let padded = *padded;
        let Part {
            sums,
            counts,
            slopes,
        } = self.part;
        let others = self.contrast.others;
        let mut weights = vec![0.0f32; BLOCK * padded];
        let (mut value, mut counted) = (vec![0.0f32; padded], vec![0.0f32; padded]);
        let (value, counted) = (&mut value[..padded], &mut counted[..padded]);
        let (own_rows, own_classes) = (&own.rows[..padded], &own.classes[..padded]);
        let end = self.rows[0] + self.rows[1];
        for first in (self.rows[0]..end).step_by(BLOCK) {
            let range = first..(first + BLOCK).min(end);
            let (rows, classes) = (&others.rows[range.clone()], &others.classes[range]);
            // SAFETY: rows were checked when the embeddings were packed.
            unsafe { scores::<S>(&self.contrast, self.packed, rows, &mut weights) };
            value.fill(0.0);
            counted.fill(0.0);
            for ((row, class), weights) in rows.iter().zip(classes).zip(weights.chunks_mut(padded))
            {
                for b in 0..padded {
                    let (v, slope) = softplus(weights[b] - self.offset);
                    let counts = own_rows[b] != *row && own_classes[b] != *class;
                    value[b] += if counts { v } else { 0.0 };
                    counted[b] += if counts { 1.0 } else { 0.0 };
                    weights[b] = if counts { slope } else { 0.0 };
                }
            }
            for b in 0..padded {
                sums[b] += f64::from(value[b]);
                counts[b] += counted[b] as usize;
            }
            // SAFETY: as above.
            unsafe { add_slopes::<S>(&self.contrast, padded, rows, &weights, slopes) };
        }
    }
}

/// `log(1 + eˣ)` and its slope `1 / (1 + e⁻ˣ)`.
#[inline(always)]
fn softplus(x: f32) -> (f32, f32) {
    let small = exp_of_negative(if x > 0.0 { -x } else { x });
    // The logarithm of 1 + s as that of (1 + z) / (1 − z), an odd series; |z| ≤ 1/3, where the next term is below
    // 4e-9 of the sum.
    let z = small / (2.0 + small);
    let square = z * z;
    let mut series = 1.0 / 15.0;
    for divisor in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        series = series * square + 1.0 / divisor;
    }
    let log = 2.0 * z * series;
    let share = 1.0 / (1.0 + small);
    if x > 0.0 {
        (x + log, share)
    } else {
        (log, small * share)
    }
}

/// Adds to each embedding's slopes `[padded batch, width]` the rows times its weights, `[rows, padded batch]`.
///
/// # Safety
/// As [`scores`].
#[inline(always)]
unsafe fn add_slopes<S: Simd>(
    contrast: &Contrast,
    padded: usize,
    rows: &[u32],
    weights: &[f32],
    slopes: &mut [f32],
) {
    let width = contrast.width;
    let bank = contrast.bank.as_ptr();
    // The padding has no slopes to add.
    for b in (0..contrast.batch()).step_by(SLOPES[0]) {
        for d in (0..width).step_by(SLOPES[1] * S::LANES) {
            // SAFETY: the padded batch is a multiple of the tile, as any register is of its rows; a register past
            // the end of a row reads and writes nothing.
            unsafe {
                let left = |j: usize| width.saturating_sub(d + j * S::LANES);
                let at = |b: usize, j: usize| b * width + (d + j * S::LANES).min(width);
                let mut sums: [[S::V; SLOPES[1]]; SLOPES[0]] = std::array::from_fn(|i| {
                    std::array::from_fn(|j| {
                        S::load_up_to(slopes.as_ptr().add(at(b + i, j)), left(j))
                    })
                });
                for (k, row) in rows.iter().enumerate() {
                    let m: [S::V; SLOPES[1]] = std::array::from_fn(|j| {
                        S::load_up_to(bank.add(at(*row as usize, j)), left(j))
                    });
                    let weights = weights.as_ptr().add(k * padded + b);
                    for i in 0..SLOPES[0] {
                        let weight = S::splat(*weights.add(i));
                        for j in 0..SLOPES[1] {
                            sums[i][j] = S::fma(weight, m[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..SLOPES[0] {
                    for j in 0..SLOPES[1] {
                        let to = slopes.as_mut_ptr().add(at(b + i, j));
                        S::store_up_to(to, sums[i][j], left(j));
                    }
                }
            }
        }
    }
}

struct Exponentials<'a> {
    contrast: Contrast<'a>,
    packed: &'a Packed,
    rows: [usize; 2],
    /// The largest score of each block and the sum of exponentials by it.
    found: &'a mut Vec<[f64; 2]>,
}

impl Kernel for Exponentials<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let padded = self.packed.padded;
        let batch = self.contrast.batch();
        let mut values = vec![0.0f32; BLOCK * padded];
        let end = self.rows[0] + self.rows[1];
        for first in (self.rows[0]..end).step_by(BLOCK) {
            let rows = &self.contrast.others.rows[first..(first + BLOCK).min(end)];
            // SAFETY: rows were checked when the embeddings were packed.
            unsafe { scores::<S>(&self.contrast, self.packed, rows, &mut values) };
            let values = || values.chunks(padded).take(rows.len());
            let scores = || values().flat_map(|row| &row[..batch]);
            let largest = scores().fold(f32::NEG_INFINITY, |a, b| if *b <= a { a } else { *b });
            let sum: f64 = values()
                .map(|row| {
                    let row = row[..batch].iter();
                    f64::from(
                        row.map(|score| exp_of_negative(score - largest))
                            .sum::<f32>(),
                    )
                })
                .sum();
            self.found.push([f64::from(largest), sum]);
        }
    }
}
