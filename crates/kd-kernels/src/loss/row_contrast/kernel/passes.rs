//! Passes over a block of rows: scores, what is made of them, and gradients.

use super::{Contrast, Packed, Part};
use crate::simd::exponential::exp_of_negative;
use crate::simd::{Kernel, Simd};

/// Rows that stay in a cache between scores and gradient.
const BLOCK: usize = 64;
/// Rows and registers of embeddings of a tile of scores.
pub(super) const SCORES: [usize; 2] = [4, 2];
/// Embeddings and registers of features of a tile of gradients.
const SLOPES: [usize; 2] = [4, 2];

/// Scores of up to [`BLOCK`] rows, `[rows, padded batch]`.
///
/// # Safety
/// The processor has the instructions of `S`, for which the batch was padded.
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

pub(super) struct Softplus<'a> {
    pub contrast: Contrast<'a>,
    pub packed: &'a Packed,
    /// The first and how many.
    pub rows: [usize; 2],
    pub offset: f32,
    pub part: &'a mut Part,
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
            // SAFETY: rows were checked when the embeddings were packed; there is a weight for each row and
            // embedding, and slopes for the padded batch.
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
/// The processor has the instructions of `S`, and the rows lie within the bank. `weights` has `padded` values for each
/// row and `slopes` a row of the bank's width for each of `padded` embeddings, a multiple of the tile's.
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

pub(super) struct Exponentials<'a> {
    pub contrast: Contrast<'a>,
    pub packed: &'a Packed,
    pub rows: [usize; 2],
    /// The largest score of each block and the sum of exponentials by it.
    pub found: &'a mut Vec<[f64; 2]>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_softplus_and_its_slope() {
        for i in -80_000..=80_000 {
            let x = 1e-3 * i as f32;
            let exact = f64::from(x);
            let (value, slope) = softplus(x);
            for (found, want) in [
                (value, exact.exp().ln_1p()),
                (slope, 1.0 / (1.0 + (-exact).exp())),
            ] {
                let off = (f64::from(found) - want).abs() / want;
                assert!(off < 5e-7, "{x}: {found} is not {want}, {off:e}");
            }
        }
        assert_eq!(softplus(f32::NEG_INFINITY), (0.0, 0.0));
        assert_eq!(softplus(1e30), (1e30, 1.0));
        assert!(softplus(f32::NAN).0.is_nan());
    }
}
