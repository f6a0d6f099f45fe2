//! Passes over a block of rows: scores, what is made of them, and gradients.

use super::{Contrast, Packed, Part};
use crate::simd::accumulate::accumulate;
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
/// # Panics
/// When a row lies outside of the bank, or the batch was padded for another instruction set.
#[inline(always)]
fn scores<S: Simd>(s: S, contrast: &Contrast, packed: &Packed, rows: &[u32], scores: &mut [f32]) {
    let (width, padded) = (contrast.width, packed.padded);
    assert!(padded.is_multiple_of(SCORES[1] * S::LANES) && packed.values.len() == width * padded);
    for (tile, scores) in rows
        .chunks(SCORES[0])
        .zip(scores.chunks_mut(SCORES[0] * padded))
    {
        // The last tile repeats a row rather than being smaller.
        let row = |i: usize| tile[i.min(tile.len() - 1)] as usize;
        let from = std::array::from_fn(|i| contrast.bank[row(i) * width..][..width].as_ptr());
        for column in (0..padded).step_by(SCORES[1] * S::LANES) {
            let terms = (0..width).map(|d| (d, d * padded));
            let zeros = [[s.zero(); SCORES[1]]; SCORES[0]];
            // SAFETY: a row has its width, and so have the embeddings, of which there are a multiple of the tile.
            let sums = unsafe {
                let embeddings = packed.values.as_ptr().add(column);
                accumulate(s, zeros, from, embeddings, SCORES[1] * S::LANES, terms)
            };
            for i in 0..tile.len() {
                for j in 0..SCORES[1] {
                    let to = &mut scores[i * padded + column + j * S::LANES..];
                    s.write(to, sums[i][j]);
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
    fn run<S: Simd>(self, s: S) {
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
            scores(s, &self.contrast, self.packed, rows, &mut weights);
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
            add_slopes(s, &self.contrast, padded, rows, &weights, slopes);
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
/// # Panics
/// When a row lies outside of the bank, or weights or slopes are not as many.
#[inline(always)]
fn add_slopes<S: Simd>(
    s: S,
    contrast: &Contrast,
    padded: usize,
    rows: &[u32],
    weights: &[f32],
    slopes: &mut [f32],
) {
    let width = contrast.width;
    let last = rows.iter().max().map_or(0, |row| *row as usize + 1);
    assert!(last * width <= contrast.bank.len() && rows.len() * padded <= weights.len());
    assert!(padded.is_multiple_of(SLOPES[0]) && contrast.batch() <= padded);
    // The padding has no slopes to add.
    for b in (0..contrast.batch()).step_by(SLOPES[0]) {
        let tile = Slopes {
            rows,
            weights: &weights[b..],
            pitch: padded,
            bank: contrast.bank,
            width,
        };
        let slopes = &mut slopes[b * width..][..SLOPES[0] * width];
        for first in (0..width).step_by(SLOPES[1] * S::LANES) {
            // SAFETY: the rows lie within the bank, and there are weights of each for whole tiles of embeddings.
            unsafe {
                match width - first > S::LANES {
                    true => tile.add::<S, { SLOPES[1] }>(s, first, slopes),
                    false => tile.add::<S, 1>(s, first, slopes),
                }
            }
        }
    }
}

/// What is added to the slopes of some embeddings.
struct Slopes<'a> {
    rows: &'a [u32],
    /// From the first embedding's on, for each row `pitch` further.
    weights: &'a [f32],
    pitch: usize,
    bank: &'a [f32],
    width: usize,
}

impl Slopes<'_> {
    /// Adds to `Z` registers of columns from `first` on.
    ///
    /// # Safety
    /// The rows lie within the bank, there are weights of each for [`SLOPES`] embeddings, and the columns that are
    /// left reach into the last register.
    #[inline(always)]
    unsafe fn add<S: Simd, const Z: usize>(&self, s: S, first: usize, slopes: &mut [f32]) {
        let (pitch, width) = (self.pitch, self.width);
        let mut sums = [[s.zero(); Z]; SLOPES[0]];
        for (sums, slopes) in sums.iter_mut().zip(slopes.chunks_exact(width)) {
            for z in 0..Z {
                sums[z] = s.read(&slopes[first + z * S::LANES..]);
            }
        }
        let rows = self.rows.iter().enumerate();
        let terms = rows.map(|(k, row)| (k * pitch, *row as usize * width));
        // SAFETY: the caller has these rows and weights, and nothing behind the bank's width is read.
        let sums = unsafe {
            let bank = self.bank.as_ptr().add(first);
            let weights = std::array::from_fn(|i| self.weights.as_ptr().add(i));
            accumulate(s, sums, weights, bank, width - first, terms)
        };
        for (sums, slopes) in sums.into_iter().zip(slopes.chunks_exact_mut(width)) {
            for z in 0..Z {
                s.write(&mut slopes[first + z * S::LANES..], sums[z]);
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
    fn run<S: Simd>(self, s: S) {
        let padded = self.packed.padded;
        let batch = self.contrast.batch();
        let mut values = vec![0.0f32; BLOCK * padded];
        let end = self.rows[0] + self.rows[1];
        for first in (self.rows[0]..end).step_by(BLOCK) {
            let rows = &self.contrast.others.rows[first..(first + BLOCK).min(end)];
            scores(s, &self.contrast, self.packed, rows, &mut values);
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
