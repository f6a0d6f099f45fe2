//! Products of small matrices: a tile of sums stays in registers while all terms pass by.
//!
//! What a tile reads in whole registers lies together in panels, because rows of a map that are a power of two
//! apart would push each other out of the cache.

use crate::simd::{Simd, with_tile_rows};

/// Registers of columns in a tile.
pub(crate) const WIDE: usize = 2;
/// Terms taken at a time, so that a panel's stay in a first-level cache while all rows pass over them.
pub(crate) const RUN: usize = 128;

/// Values of a matrix in panels.
pub(crate) fn packed(lanes: usize, rows: usize, columns: usize) -> usize {
    rows * columns.next_multiple_of(WIDE * lanes)
}

/// The place in panels of a matrix's first row at which a column stands; a row further is `WIDE * lanes` on.
#[inline(always)]
pub(crate) fn place(lanes: usize, rows: usize, column: usize) -> usize {
    let width = WIDE * lanes;
    column / width * width * rows + column % width
}

/// A matrix in panels of [`WIDE`] registers of columns, each row by row; columns that are not there are zero.
#[derive(Clone, Copy)]
pub(crate) struct Panels {
    pub data: *const f32,
    pub rows: usize,
    pub columns: usize,
}

impl Panels {
    /// Packs rows `pitch` apart over `to`.
    ///
    /// # Safety
    /// The processor has the instructions of `S`. `rows` rows of `columns` values can be read from `from` on, `pitch`
    /// apart, and [`packed`] values can be written from `to` on, which lie elsewhere.
    #[inline(always)]
    pub unsafe fn of_rows<S: Simd>(
        from: *const f32,
        pitch: usize,
        [rows, columns]: [usize; 2],
        to: *mut f32,
    ) -> Self {
        let width = WIDE * S::LANES;
        for row in 0..rows {
            for first in (0..columns).step_by(width) {
                for z in 0..WIDE {
                    let column = first + z * S::LANES;
                    // SAFETY: the caller's promise; past the last column nothing is read.
                    unsafe {
                        let v = match column < columns {
                            true => S::load_up_to(from.add(row * pitch + column), columns - column),
                            false => S::zero(),
                        };
                        S::store(to.add(first * rows + row * width + z * S::LANES), v);
                    }
                }
            }
        }
        Self {
            data: to,
            rows,
            columns,
        }
    }

    /// Packs the transpose of rows `pitch` apart over `to`; `shape` is that of the transpose, each row of which is
    /// multiplied by its factor.
    ///
    /// # Safety
    /// As [`of_rows`](Self::of_rows), but of `columns` rows of `rows` values from `from` on.
    #[inline(always)]
    pub unsafe fn of_columns<S: Simd>(
        from: *const f32,
        pitch: usize,
        [rows, columns]: [usize; 2],
        factor: impl Fn(usize) -> f32,
        to: *mut f32,
    ) -> Self {
        /// Rows that lie on one line of the cache in `from`.
        const BLOCK: usize = 16;
        let width = WIDE * S::LANES;
        for first in (0..columns).step_by(width) {
            let there = (columns - first).min(width);
            for block in (0..rows).step_by(BLOCK) {
                for row in block..(block + BLOCK).min(rows) {
                    let factor = factor(row);
                    // SAFETY: the caller's promise.
                    unsafe {
                        let to = to.add(first * rows + row * width);
                        let from = from.add(first * pitch + row);
                        for column in 0..there {
                            *to.add(column) = *from.add(column * pitch) * factor;
                        }
                        for column in there..width {
                            *to.add(column) = 0.0;
                        }
                    }
                }
            }
        }
        Self {
            data: to,
            rows,
            columns,
        }
    }
}

/// `scale · Σ_k a[k, i] · b[k, j]`, written over `to` `[columns of a, columns of b]` or added to it. When
/// `symmetric`, what is on and above the diagonal, and perhaps more.
///
/// # Safety
/// The processor has the instructions of `S`, and the panels were packed for it, of equally many rows, and can be
/// read. A value for each pair of columns can be written from `to` on, and read when `more` are added; none of them
/// lies in the panels, and no other task has them.
#[inline(always)]
pub(crate) unsafe fn outer<S: Simd>(
    a: Panels,
    b: Panels,
    scale: f32,
    symmetric: bool,
    more: bool,
    to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_tile_rows!(S::LANES, |R| outer_by::<S, R>(
            a, b, scale, symmetric, more, to
        ))
    }
}

/// # Safety
/// As [`outer`].
#[inline(always)]
unsafe fn outer_by<S: Simd, const R: usize>(
    a: Panels,
    b: Panels,
    scale: f32,
    symmetric: bool,
    more: bool,
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
                    let from = a.data.add(first * width);
                    let tile = Tile {
                        a: std::array::from_fn::<_, R, _>(|r| {
                            from.add(place(S::LANES, a.rows, (row + r).min(last)))
                        }),
                        a_step: width,
                        b: b.data.add(column * b.rows + first * width + skip),
                        count: (a.rows - first).min(RUN),
                        rows: (a.columns - row).min(R),
                        columns: (b.columns - column).saturating_sub(skip),
                        scale,
                        more: more || first > 0,
                    };
                    tile.run::<S>(to.add(row * b.columns + column + skip), b.columns, below);
                }
            }
        }
    }
}

/// `scale · Σ_k x[i, k] · m[k, j]` of rows `pitch` apart, written over `to` `[rows, columns of m]` or added to it.
///
/// # Safety
/// The processor has the instructions of `S`, and the panels were packed for it and can be read. `rows` rows of as
/// many values as the panels have rows can be read from `x` on, `pitch` apart. A value for each row and column can be
/// written from `to` on, and read when `more` are added; none of them lies in what is read, and no other task has them.
#[inline(always)]
pub(crate) unsafe fn apply<S: Simd>(
    x: *const f32,
    pitch: usize,
    rows: usize,
    m: Panels,
    scale: f32,
    more: bool,
    to: *mut f32,
) {
    // SAFETY: the caller's promise.
    unsafe {
        with_tile_rows!(S::LANES, |R| apply_by::<S, R>(
            x, pitch, rows, m, scale, more, to
        ))
    }
}

/// # Safety
/// As [`apply`].
#[inline(always)]
unsafe fn apply_by<S: Simd, const R: usize>(
    x: *const f32,
    pitch: usize,
    rows: usize,
    m: Panels,
    scale: f32,
    more: bool,
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
                            x.add((row + r).min(rows - 1) * pitch + first)
                        }),
                        a_step: 1,
                        b: m.data.add(column * m.rows + first * width),
                        count: (m.rows - first).min(RUN),
                        rows: (rows - row).min(R),
                        columns: m.columns - column,
                        scale,
                        more: more || first > 0,
                    };
                    tile.run::<S>(to.add(row * m.columns + column), m.columns, 0);
                }
            }
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
    scale: f32,
    /// Whether sums are added to what is there.
    more: bool,
}

impl<const R: usize> Tile<R> {
    /// Writes rows of `to`, `pitch` apart, without the panel's first `skipped` registers.
    ///
    /// # Safety
    /// The processor has the instructions of `S`. `count` factors can be read from each of `a` on, `a_step` apart, and as many
    /// rows of a panel from `b` on. `rows` is at most `R`, and so many rows of the columns that are there, or of the
    /// registers from `skipped` on, can be written from `to` on, `pitch` apart; read, too, when sums are added.
    #[inline(always)]
    unsafe fn run<S: Simd>(self, to: *mut f32, pitch: usize, skipped: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.columns > S::LANES && skipped == 0 {
                self.wide::<S, WIDE>(to, pitch);
            } else if self.columns > 0 {
                self.wide::<S, 1>(to, pitch);
            }
        }
    }

    /// # Safety
    /// As [`run`](Self::run), of `Z` registers, all but the last of which have `LANES` columns.
    #[inline(always)]
    unsafe fn wide<S: Simd, const Z: usize>(self, to: *mut f32, pitch: usize) {
        // SAFETY: the caller's promise; a panel has whole registers, and only columns that are there are written.
        unsafe {
            let mut sums = [[S::zero(); Z]; R];
            for k in 0..self.count {
                let mut b = [S::zero(); Z];
                for z in 0..Z {
                    b[z] = S::load(self.b.add(k * WIDE * S::LANES + z * S::LANES));
                }
                for r in 0..R {
                    let value = S::splat(*self.a[r].add(k * self.a_step));
                    for z in 0..Z {
                        sums[r][z] = S::fma(value, b[z], sums[r][z]);
                    }
                }
            }
            let scale = S::splat(self.scale);
            for r in 0..R {
                if r < self.rows {
                    for z in 0..Z {
                        let left = self.columns - z * S::LANES;
                        let to = to.add(r * pitch + z * S::LANES);
                        let mut sum = S::mul(sums[r][z], scale);
                        if self.more {
                            sum = S::add(sum, S::load_up_to(to, left));
                        }
                        S::store_up_to(to, sum, left);
                    }
                }
            }
        }
    }
}

/// Copies what is above the diagonal below it.
///
/// # Safety
/// `size · size` values from `matrix` on can be read and written, and no other task has them.
#[inline(always)]
pub(crate) unsafe fn mirror(matrix: *mut f32, size: usize) {
    /// Rows and columns of a block that is turned at once.
    const BLOCK: usize = 16;
    for first in (0..size).step_by(BLOCK) {
        for column in (0..=first).step_by(BLOCK) {
            for row in first..(first + BLOCK).min(size) {
                for column in column..(column + BLOCK).min(row) {
                    // SAFETY: both are below `size`.
                    unsafe { *matrix.add(row * size + column) = *matrix.add(column * size + row) };
                }
            }
        }
    }
}
