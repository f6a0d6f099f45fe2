//! Products of the channels of two maps, picture by picture: small matrices for which a tile of sums stays in
//! registers while all positions pass by.

use rayon::prelude::*;

use crate::images::{Images, Target};
use crate::simd::{Isa, Kernel, Simd};

/// Positions taken at a time, so that they stay in a cache while all tiles pass over them.
const RUN: usize = 128;
/// Registers of columns in a tile.
const WIDE: usize = 2;

/// `scale · Σ_positions a_i · b_j` of each picture, `[batch, channels of a, channels of b]`.
pub(crate) fn outer(isa: Isa, a: Images, b: Images, scale: f32) -> Vec<f32> {
    let places = |x: Images| (x.size.batch, x.size.height, x.size.width);
    assert_eq!(places(a), places(b), "only maps of one size have products");
    run(isa, a, b, scale, false)
}

/// [`outer`] of a map with itself, for little more than half of the work.
pub(crate) fn gram(isa: Isa, x: Images, scale: f32) -> Vec<f32> {
    run(isa, x, x, scale, true)
}

fn run(isa: Isa, a: Images, b: Images, scale: f32, symmetric: bool) -> Vec<f32> {
    let (rows, columns) = (a.size.channels, b.size.channels);
    let mut products = vec![0.0f32; a.size.batch * rows * columns];
    products
        .par_chunks_mut((rows * columns).max(1))
        .enumerate()
        .for_each(|(picture, sums)| {
            isa.run(Outer {
                a: &a,
                b: &b,
                picture,
                scale,
                symmetric,
                sums: &mut *sums,
            });
            if symmetric {
                for row in 1..rows {
                    for column in 0..row {
                        sums[row * columns + column] = sums[column * columns + row];
                    }
                }
            }
        });
    products
}

/// `M + Mᵀ` of matrices `[batch, size, size]`.
pub(crate) fn plus_transposed(matrices: &[f32], size: usize) -> Vec<f32> {
    /// Rows and columns of a block that is turned at once.
    const BLOCK: usize = 16;
    let mut sums = matrices.to_vec();
    let square = (size * size).max(1);
    sums.par_chunks_mut(square)
        .zip(matrices.par_chunks(square))
        .for_each(|(sums, matrix)| {
            for first in (0..size).step_by(BLOCK) {
                for column in (0..size).step_by(BLOCK) {
                    for row in first..(first + BLOCK).min(size) {
                        for column in column..(column + BLOCK).min(size) {
                            sums[row * size + column] += matrix[column * size + row];
                        }
                    }
                }
            }
        });
    sums
}

struct Outer<'a> {
    a: &'a Images<'a>,
    b: &'a Images<'a>,
    picture: usize,
    scale: f32,
    /// Whether only what is on and above the diagonal is asked for.
    symmetric: bool,
    sums: &'a mut [f32],
}

impl Kernel for Outer<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the pixels are there in both images, and the sums for all pairs of channels.
        unsafe {
            match S::LANES {
                16 => self.all::<S, 8>(),
                8 => self.all::<S, 6>(),
                _ => self.all::<S, 4>(),
            }
        }
    }
}

impl Outer<'_> {
    #[inline(always)]
    unsafe fn all<S: Simd, const R: usize>(self) {
        let sums = self.sums.as_mut_ptr();
        let area = self.a.size.area();
        let (rows, columns) = (self.a.size.channels, self.b.size.channels);
        for first in (0..area).step_by(RUN) {
            let count = (area - first).min(RUN);
            let pixel = self.picture * area + first;
            for column in (0..columns).step_by(WIDE * S::LANES) {
                for row in (0..rows).step_by(R) {
                    if self.symmetric && column + WIDE * S::LANES <= row {
                        continue;
                    }
                    // SAFETY: as in `run`; the last tile repeats its last row and does not store it.
                    unsafe {
                        let tile = Tile {
                            a: self.a.data.as_ptr().add(pixel * self.a.pitch),
                            a_step: self.a.pitch,
                            a_rows: 1,
                            b: self.b.data.as_ptr().add(pixel * self.b.pitch + column),
                            b_step: self.b.pitch,
                            count,
                            row,
                            rows,
                            left: columns - column,
                            scale: self.scale,
                        };
                        let to = sums.add(column);
                        tile.run::<S, R>(to, columns, true);
                    }
                }
            }
        }
    }
}

/// `scale · x · m` of each picture for matrices `m` `[batch, channels of x, columns]`, written over `y`, which is dense
/// and has `columns` channels.
pub(crate) fn apply(isa: Isa, x: Images, matrices: &[f32], columns: usize, scale: f32, y: Target) {
    let (area, inner) = (x.size.area(), x.size.channels);
    assert_eq!(
        matrices.len(),
        x.size.batch * inner * columns,
        "one matrix for each picture"
    );
    (0..x.size.batch).into_par_iter().for_each(|picture| {
        isa.run(Apply {
            x: &x,
            picture,
            matrix: &matrices[picture * inner * columns..][..inner * columns],
            columns,
            scale,
            // SAFETY: each task writes its own picture.
            y: Target(unsafe { y.at(picture * area * columns) }),
        });
    });
}

struct Apply<'a> {
    x: &'a Images<'a>,
    picture: usize,
    matrix: &'a [f32],
    columns: usize,
    scale: f32,
    y: Target,
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the pixels are there, the matrix has a row for each channel, and `y` a row for each pixel.
        unsafe {
            match S::LANES {
                16 => self.all::<S, 8>(),
                8 => self.all::<S, 6>(),
                _ => self.all::<S, 4>(),
            }
        }
    }
}

impl Apply<'_> {
    #[inline(always)]
    unsafe fn all<S: Simd, const R: usize>(self) {
        let area = self.x.size.area();
        for column in (0..self.columns).step_by(WIDE * S::LANES) {
            for row in (0..area).step_by(R) {
                // SAFETY: as in `run`; the last tile repeats its last row and does not store it.
                unsafe {
                    let first = self.picture * area * self.x.pitch;
                    let tile = Tile {
                        a: self.x.data.as_ptr().add(first),
                        a_step: 1,
                        a_rows: self.x.pitch,
                        b: self.matrix.as_ptr().add(column),
                        b_step: self.columns,
                        count: self.x.size.channels,
                        row,
                        rows: area,
                        left: self.columns - column,
                        scale: self.scale,
                    };
                    tile.run::<S, R>(self.y.at(column), self.columns, false);
                }
            }
        }
    }
}

/// `Σ_k a[k · a_step + row · a_rows] · b[k · b_step + column]` for some rows and two registers of columns.
struct Tile {
    a: *const f32,
    a_step: usize,
    a_rows: usize,
    b: *const f32,
    b_step: usize,
    count: usize,
    row: usize,
    rows: usize,
    /// Columns that are there.
    left: usize,
    /// What the sums are multiplied by.
    scale: f32,
}

impl Tile {
    /// Writes the sums to rows of `to`, `pitch` apart, or adds them to what is there.
    ///
    /// # Safety
    /// All that the tile reads and writes is there, and nobody else's meanwhile.
    #[inline(always)]
    unsafe fn run<S: Simd, const R: usize>(self, to: *mut f32, pitch: usize, more: bool) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.left > S::LANES {
                self.wide::<S, R, WIDE>(to, pitch, more);
            } else {
                self.wide::<S, R, 1>(to, pitch, more);
            }
        }
    }

    #[inline(always)]
    unsafe fn wide<S: Simd, const R: usize, const Z: usize>(
        self,
        to: *mut f32,
        pitch: usize,
        more: bool,
    ) {
        // SAFETY: as in `run`.
        unsafe {
            let mut a = [self.a; R];
            for r in 0..R {
                let row = (self.row + r).min(self.rows - 1);
                a[r] = self.a.add(row * self.a_rows);
            }
            let full = self.left >= Z * S::LANES;
            let mut sums = [[S::zero(); Z]; R];
            for k in 0..self.count {
                let mut b = [S::zero(); Z];
                for z in 0..Z {
                    let from = self.b.add(k * self.b_step + z * S::LANES);
                    b[z] = if full {
                        S::load(from)
                    } else {
                        S::load_up_to(from, self.left - z * S::LANES)
                    };
                }
                for r in 0..R {
                    let value = S::splat(*a[r].add(k * self.a_step));
                    for z in 0..Z {
                        sums[r][z] = S::fma(value, b[z], sums[r][z]);
                    }
                }
            }
            let valid = (self.rows - self.row).min(R);
            let scale = S::splat(self.scale);
            for r in 0..R {
                if r < valid {
                    for z in 0..Z {
                        let left = self.left - z * S::LANES;
                        let to = to.add((self.row + r) * pitch + z * S::LANES);
                        let mut sum = S::mul(sums[r][z], scale);
                        if more {
                            sum = S::add(sum, S::load_up_to(to, left));
                        }
                        S::store_up_to(to, sum, left);
                    }
                }
            }
        }
    }
}
