//! Products of small matrices: a tile of sums stays in registers while all terms pass by.

use std::mem::MaybeUninit;

use super::Simd;
use super::accumulate::{accumulate, with_tile_rows};
use super::blocks::WIDE;
use super::panels::{Panels, has_rows, packed, place};

/// Terms taken at a time, so that a panel's stay in a first-level cache while all rows pass over them.
pub(crate) const RUN: usize = 128;

/// How a sum becomes a value of the product.
#[derive(Clone, Copy)]
struct Finish {
    /// What the sum is multiplied by.
    scale: f32,
    /// Whether it is added to what is there.
    more: bool,
}

/// `scale · Σ_k a[k, i] · b[k, j]`, written over `to` `[columns of a, columns of b]` or added to it. When
/// `symmetric`, what is on and above the diagonal, and perhaps more.
///
/// # Panics
/// When the panels were packed for another instruction set or of unequally many rows, or the product has no room.
#[inline(always)]
pub(crate) fn outer<S: Simd>(
    s: S,
    a: Panels,
    b: Panels,
    scale: f32,
    symmetric: bool,
    more: bool,
    to: &mut [f32],
) {
    assert!(a.rows == b.rows && to.len() >= a.columns * b.columns);
    a.check::<S>();
    b.check::<S>();
    let finish = Finish { scale, more };
    // SAFETY: the panels are whole and of equally many rows, and there is room for every pair of columns.
    unsafe {
        with_tile_rows!(S::LANES, |R| outer_by::<S, R>(
            s,
            a,
            b,
            finish,
            symmetric,
            to.as_mut_ptr()
        ))
    }
}

/// # Safety
/// The panels were packed for `S`, of equally many rows. A value for each pair of columns can be read and written
/// from `to` on.
#[inline(always)]
unsafe fn outer_by<S: Simd, const R: usize>(
    s: S,
    a: Panels,
    b: Panels,
    finish: Finish,
    symmetric: bool,
    to: *mut f32,
) {
    let width = WIDE * S::LANES;
    for first in (0..a.rows).step_by(RUN) {
        for column in (0..b.columns).step_by(width) {
            for row in (0..a.columns).step_by(R) {
                // Registers of columns that lie below the diagonal alone.
                let below = match symmetric && row > column {
                    true => (row - column) / S::LANES,
                    false => 0,
                };
                if below >= WIDE {
                    break;
                }
                let (skip, last) = (below * S::LANES, a.columns - 1);
                // SAFETY: rows and columns are those of the panels; the last tile repeats its last row.
                unsafe {
                    let from = a.data.as_ptr().add(first * width);
                    let tile = Tile {
                        a: std::array::from_fn::<_, R, _>(|r| {
                            from.add(place(S::LANES, a.rows, (row + r).min(last)))
                        }),
                        a_step: width,
                        b: b.data.as_ptr().add(column * b.rows + first * width + skip),
                        count: (a.rows - first).min(RUN),
                        rows: (a.columns - row).min(R),
                        columns: (b.columns - column).saturating_sub(skip),
                        finish: finish.after(first),
                    };
                    let to = to.add(row * b.columns + column + skip);
                    tile.run(s, to, b.columns, below);
                }
            }
        }
    }
}

/// `scale · Σ_k x[i, k] · m[k, j]` of rows `pitch` apart, written over `to` `[rows, columns of m]`.
///
/// # Panics
/// When the panels were packed for another instruction set, there are no terms, too few rows, or not as many values
/// as the product has.
#[inline(always)]
pub(crate) fn apply<'a, S: Simd>(
    s: S,
    x: &[f32],
    pitch: usize,
    m: Panels,
    scale: f32,
    to: &'a mut [MaybeUninit<f32>],
) -> &'a mut [f32] {
    let finish = Finish { scale, more: false };
    let rows = applied(s, x, pitch, m, to.len());
    // SAFETY: rows, panels and room for the product were seen to be there, and every value of it is written.
    unsafe {
        let into = to.as_mut_ptr().cast();
        with_tile_rows!(S::LANES, |R| apply_by::<S, R>(
            s, x, pitch, rows, m, finish, into
        ));
        to.assume_init_mut()
    }
}

/// Adds to `to` what [`apply`] writes.
///
/// # Panics
/// As [`apply`].
#[inline(always)]
pub(crate) fn apply_more<S: Simd>(
    s: S,
    x: &[f32],
    pitch: usize,
    m: Panels,
    scale: f32,
    to: &mut [f32],
) {
    let finish = Finish { scale, more: true };
    let rows = applied(s, x, pitch, m, to.len());
    // SAFETY: rows, panels and room for the product were seen to be there.
    unsafe {
        let into = to.as_mut_ptr();
        with_tile_rows!(S::LANES, |R| apply_by::<S, R>(
            s, x, pitch, rows, m, finish, into
        ));
    }
}

/// How many rows a product of `len` values has.
#[inline(always)]
fn applied<S: Simd>(_: S, x: &[f32], pitch: usize, m: Panels, len: usize) -> usize {
    m.check::<S>();
    assert!(m.rows > 0 && m.columns > 0, "a product has terms");
    let rows = len / m.columns;
    assert_eq!(rows * m.columns, len, "a product has whole rows");
    assert!(has_rows(x, pitch, [rows, m.rows]), "rows to multiply");
    rows
}

/// # Safety
/// The panels were packed for `S`, and `rows` rows of as many values as they have rows can be read from `x`, `pitch`
/// apart. A value for each row and column can be written from `to` on, and read when more are added.
#[inline(always)]
unsafe fn apply_by<S: Simd, const R: usize>(
    s: S,
    x: &[f32],
    pitch: usize,
    rows: usize,
    m: Panels,
    finish: Finish,
    to: *mut f32,
) {
    let width = WIDE * S::LANES;
    for first in (0..m.rows).step_by(RUN) {
        for column in (0..m.columns).step_by(width) {
            for row in (0..rows).step_by(R) {
                // SAFETY: rows and columns are those of `x` and the panels; the last tile repeats its last row.
                unsafe {
                    let tile = Tile {
                        a: std::array::from_fn::<_, R, _>(|r| {
                            x.as_ptr().add((row + r).min(rows - 1) * pitch + first)
                        }),
                        a_step: 1,
                        b: m.data.as_ptr().add(column * m.rows + first * width),
                        count: (m.rows - first).min(RUN),
                        rows: (rows - row).min(R),
                        columns: m.columns - column,
                        finish: finish.after(first),
                    };
                    tile.run(s, to.add(row * m.columns + column), m.columns, 0);
                }
            }
        }
    }
}

impl Panels<'_> {
    /// # Panics
    /// When they were packed for registers of another width.
    #[inline(always)]
    fn check<S: Simd>(&self) {
        let len = packed(S::LANES, self.rows, self.columns);
        assert_eq!(self.data.len(), len, "whole panels");
    }
}

impl Finish {
    /// Of the terms from `first` on: those before were written, or added, already.
    #[inline(always)]
    fn after(self, first: usize) -> Self {
        Self {
            more: self.more || first > 0,
            ..self
        }
    }
}

/// Sums of some rows and up to [`WIDE`] registers of columns.
struct Tile<const R: usize> {
    /// The first factor of each row, and how far it is to the next.
    a: [*const f32; R],
    a_step: usize,
    /// The other factors, a panel.
    b: *const f32,
    /// Factors of each.
    count: usize,
    /// Rows that are there.
    rows: usize,
    /// Columns that are there, and perhaps some behind the panel's.
    columns: usize,
    finish: Finish,
}

impl<const R: usize> Tile<R> {
    /// Writes rows of `to`, `pitch` apart, without the panel's first `skipped` registers.
    ///
    /// # Safety
    /// `count` factors can be read from each of `a` on, `a_step` apart, and as many rows of a panel from `b` on.
    /// `rows` is at most `R`, and so many rows of the columns that are there, or of the registers from `skipped` on,
    /// can be written from `to` on, `pitch` apart; read, too, when sums are added.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, s: S, to: *mut f32, pitch: usize, skipped: usize) {
        // SAFETY: the factors and the rows of `to` are the caller's; one register is enough where fewer columns are
        // left.
        unsafe {
            if self.columns > S::LANES && skipped == 0 {
                self.wide::<S, WIDE>(s, to, pitch);
            } else if self.columns > 0 {
                self.wide::<S, 1>(s, to, pitch);
            }
        }
    }

    /// # Safety
    /// As [`run`](Self::run), of `Z` registers, all but the last of which have `LANES` columns.
    #[inline(always)]
    unsafe fn wide<S: Simd, const Z: usize>(self, s: S, to: *mut f32, pitch: usize) {
        let (step, width) = (self.a_step, WIDE * S::LANES);
        let terms = (0..self.count).map(|k| (k * step, k * width));
        let zeros = [[s.zero(); Z]; R];
        // SAFETY: the factors are the caller's, and a panel has whole registers.
        let sums = unsafe { accumulate(s, zeros, self.a, self.b, Z * S::LANES, terms) };
        let scale = s.splat(self.finish.scale);
        for r in 0..R {
            if r < self.rows {
                for z in 0..Z {
                    let left = self.columns - z * S::LANES;
                    let mut sum = s.mul(sums[r][z], scale);
                    // SAFETY: the caller has this row of `to`, of which only columns that are there are touched.
                    unsafe {
                        let to = to.add(r * pitch + z * S::LANES);
                        if self.finish.more {
                            sum = s.add(sum, s.load_up_to(to, left));
                        }
                        s.store_up_to(to, sum, left);
                    }
                }
            }
        }
    }
}
