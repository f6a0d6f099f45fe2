//! Products of a few long rows with each other, as of the flattened maps of a batch.
//!
//! Rows of a power of two fall on the same places of a cache, so that a part of each is first copied to
//! where it lies beside the others'.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::OutPtr;
use crate::simd::accumulate::accumulate;
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Rows, and as many columns, of a tile of products, each of which is a register of sums.
const SIDE: usize = 3;
/// Values of a row that are multiplied before the sums are added up.
const RUN: usize = 1024;
/// Tasks that a Gram matrix is divided into, whatever the number of threads.
const TASKS: usize = 8;
/// Rows and registers of columns of a tile of gradients.
const TILE: [usize; 2] = [4, 2];
/// The widest register.
const LANES: usize = 16;

/// Rows of one length that follow each other.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    values: &'a [f32],
    width: usize,
    count: usize,
}

impl<'a> Rows<'a> {
    /// # Panics
    /// When there are not `count` rows.
    pub fn new(values: &'a [f32], [count, width]: [usize; 2]) -> Self {
        assert_eq!(values.len(), count * width, "{count} rows of {width}");
        Self {
            values,
            width,
            count,
        }
    }

    /// Copies `len` columns from `first` on to rows of `pitch` values, the rest of which and the rows from the last
    /// on are 0.
    fn pack(self, [first, len]: [usize; 2], pitch: usize, packed: &mut [f32]) {
        for (row, packed) in packed.chunks_exact_mut(pitch).enumerate() {
            let filled = if row < self.count { len } else { 0 };
            if filled > 0 {
                packed[..len].copy_from_slice(&self.values[row * self.width + first..][..len]);
            }
            packed[filled..].fill(0.0);
        }
    }
}

/// `scale · x xᵀ`, `[rows, rows]`.
pub(crate) fn gram(isa: Isa, x: Rows, scale: f32) -> Vec<f32> {
    let count = x.count;
    let runs = x.width.div_ceil(RUN);
    let runs_each = runs.div_ceil(TASKS).max(1);
    let mut parts = vec![0.0f32; runs.div_ceil(runs_each) * count * count];
    parts
        .par_chunks_mut((count * count).max(1))
        .enumerate()
        .for_each(|(task, sums)| {
            let first = task * runs_each;
            for run in first..(first + runs_each).min(runs) {
                isa.run(Gram {
                    x,
                    first: run * RUN,
                    sums: &mut *sums,
                });
            }
        });
    let mut total = vec![0.0f64; count * count];
    for part in parts.chunks((count * count).max(1)) {
        for (total, part) in total.iter_mut().zip(part) {
            *total += f64::from(*part);
        }
    }
    let mut products: Vec<f32> = total
        .into_iter()
        .map(|sum| (sum * f64::from(scale)) as f32)
        .collect();
    for row in 1..count {
        for column in 0..row {
            products[row * count + column] = products[column * count + row];
        }
    }
    products
}

/// The products on and above the diagonal over a run of columns, added to `sums`.
struct Gram<'a> {
    x: Rows<'a>,
    first: usize,
    sums: &'a mut [f32],
}

impl Kernel for Gram<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = RUN.min(self.x.width - self.first);
        let pitch = len.next_multiple_of(LANES);
        let count = self.x.count;
        let padded = count.next_multiple_of(SIDE);
        scratch::with(padded * pitch, |packed| {
            let packed = &mut packed[..padded * pitch];
            self.x.pack([self.first, len], pitch, packed);
            for row in (0..count).step_by(SIDE) {
                for column in (row..count).step_by(SIDE) {
                    let tile = products(s, packed, pitch, row, column);
                    for i in 0..SIDE.min(count - row) {
                        for j in 0..SIDE.min(count - column) {
                            self.sums[(row + i) * count + column + j] += tile[i][j];
                        }
                    }
                }
            }
        });
    }
}

/// Products of the rows from `row` on with those from `column` on.
///
/// # Panics
/// When there are not [`SIDE`] rows of `pitch` values, a multiple of any register, from both on.
#[inline(always)]
fn products<S: Simd>(
    s: S,
    packed: &[f32],
    pitch: usize,
    row: usize,
    column: usize,
) -> [[f32; SIDE]; SIDE] {
    assert!((row.max(column) + SIDE) * pitch <= packed.len() && pitch.is_multiple_of(LANES));
    let mut sums = [[s.zero(); SIDE]; SIDE];
    // SAFETY: there are these rows, and a register of each where one begins before the pitch.
    let load = |row: usize, k: usize| unsafe { s.load(packed.as_ptr().add(row * pitch + k)) };
    for k in (0..pitch).step_by(S::LANES) {
        let right: [S::V; SIDE] = std::array::from_fn(|j| load(column + j, k));
        for i in 0..SIDE {
            let left = load(row + i, k);
            for j in 0..SIDE {
                sums[i][j] = s.fma(left, right[j], sums[i][j]);
            }
        }
    }
    sums.map(|sums| {
        sums.map(|sum| {
            let mut lanes = [0.0f32; LANES];
            s.write(&mut lanes, sum);
            let mut half = LANES / 2;
            while half > 0 {
                for lane in 0..half {
                    lanes[lane] += lanes[lane + half];
                }
                half /= 2;
            }
            lanes[0]
        })
    })
}

/// The gradient of `x`, given that of [`gram`], `grad` `[rows, rows]`, written over `dx`:
/// `scale · (grad + gradᵀ) x`.
pub(crate) fn gram_grad(isa: Isa, x: Rows, scale: f32, grad: &[f32], dx: &mut [MaybeUninit<f32>]) {
    let count = x.count;
    assert_eq!(grad.len(), count * count, "one gradient for each product");
    let dx = OutPtr::new(dx, count * x.width);
    let padded = count.next_multiple_of(TILE[0]);
    let mut both = vec![0.0f32; padded * count];
    for row in 0..count {
        for column in 0..count {
            let sum = grad[row * count + column] + grad[column * count + row];
            both[row * count + column] = sum * scale;
        }
    }
    let columns = TILE[1] * isa.lanes();
    (0..x.width.div_ceil(columns))
        .into_par_iter()
        .for_each(|strip| {
            isa.run(Apply {
                x,
                factors: &both,
                first: strip * columns,
                dx,
            });
        });
}

/// A strip of columns of `factors · x`, written over `dx`.
struct Apply<'a> {
    x: Rows<'a>,
    /// A multiple of the tile's rows, of as many columns as `x` has rows.
    factors: &'a [f32],
    first: usize,
    dx: OutPtr,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Rows { width, count, .. } = self.x;
        let pitch = TILE[1] * S::LANES;
        let len = pitch.min(width - self.first);
        scratch::with(count * pitch, |packed| {
            let packed = &mut packed[..count * pitch];
            self.x.pack([self.first, len], pitch, packed);
            for row in (0..count).step_by(TILE[0]) {
                // SAFETY: the factors fill whole tiles, and `packed` whole registers for each of them.
                let sums = unsafe {
                    let factors = self.factors.as_ptr().add(row * count);
                    let rows = std::array::from_fn(|i| factors.add(i * count));
                    let terms = (0..count).map(|k| (k, k * pitch));
                    let zeros = [[s.zero(); TILE[1]]; TILE[0]];
                    accumulate(s, zeros, rows, packed.as_ptr(), pitch, terms)
                };
                for i in 0..TILE[0].min(count - row) {
                    for j in 0..TILE[1] {
                        let column = j * S::LANES;
                        if column < len {
                            // SAFETY: the output has this row, of which this task alone has the strip.
                            unsafe {
                                let to = self.dx.at((row + i) * width + self.first + column);
                                s.store_up_to(to, sums[i][j], len - column);
                            }
                        }
                    }
                }
            }
        });
    }
}
