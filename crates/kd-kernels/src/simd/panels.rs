//! Matrices in the order in which a register tile reads them: rows of a map that are a power of two apart would push
//! each other out of the cache.

use super::Simd;
use super::blocks::WIDE;

/// Values of a matrix in panels.
pub(crate) fn packed(lanes: usize, rows: usize, columns: usize) -> usize {
    rows * columns.next_multiple_of(WIDE * lanes)
}

/// The place in panels of a matrix's first row at which a column stands; a row further is `WIDE * lanes` on.
#[inline(always)]
pub(super) fn place(lanes: usize, rows: usize, column: usize) -> usize {
    let width = WIDE * lanes;
    column / width * width * rows + column % width
}

/// A matrix in panels of [`WIDE`] registers of columns, each row by row; columns that are not there are zero.
#[derive(Clone, Copy)]
pub(crate) struct Panels<'a> {
    pub data: &'a [f32],
    pub rows: usize,
    pub columns: usize,
}

impl<'a> Panels<'a> {
    /// Packs rows `pitch` apart over `to`.
    ///
    /// # Panics
    /// When `from` has not `rows` rows of `columns` values, or `to` not [`packed`] values.
    #[inline(always)]
    pub fn of_rows<S: Simd>(
        s: S,
        from: &[f32],
        pitch: usize,
        [rows, columns]: [usize; 2],
        to: &'a mut [f32],
    ) -> Self {
        assert!(has_rows(from, pitch, [rows, columns]), "rows to pack");
        let to = &mut to[..packed(S::LANES, rows, columns)];
        let width = WIDE * S::LANES;
        for row in 0..rows {
            for first in (0..columns).step_by(width) {
                for z in 0..WIDE {
                    let column = first + z * S::LANES;
                    // SAFETY: `from` has the rows and `to` the panels, as was seen above; past the last column
                    // nothing is read.
                    unsafe {
                        let v = match column < columns {
                            true => {
                                let from = from.as_ptr().add(row * pitch + column);
                                s.load_up_to(from, columns - column)
                            }
                            false => s.zero(),
                        };
                        let place = first * rows + row * width + z * S::LANES;
                        s.store(to.as_mut_ptr().add(place), v);
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
    /// # Panics
    /// When `from` has not `columns` rows of `rows` values, or `to` not [`packed`] values.
    #[inline(always)]
    pub fn of_columns<S: Simd>(
        _: S,
        from: &[f32],
        pitch: usize,
        [rows, columns]: [usize; 2],
        factor: impl Fn(usize) -> f32,
        to: &'a mut [f32],
    ) -> Self {
        /// Rows that lie on one line of the cache in `from`.
        const BLOCK: usize = 16;
        assert!(has_rows(from, pitch, [columns, rows]), "columns to pack");
        let to = &mut to[..packed(S::LANES, rows, columns)];
        let width = WIDE * S::LANES;
        for first in (0..columns).step_by(width) {
            let there = (columns - first).min(width);
            for block in (0..rows).step_by(BLOCK) {
                for row in block..(block + BLOCK).min(rows) {
                    let factor = factor(row);
                    // SAFETY: `from` has the columns and `to` the panels, as was seen above.
                    unsafe {
                        let to = to.as_mut_ptr().add(first * rows + row * width);
                        let from = from.as_ptr().add(first * pitch + row);
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

/// Whether there are so many rows of so many columns, `pitch` apart.
pub(super) fn has_rows(values: &[f32], pitch: usize, [rows, columns]: [usize; 2]) -> bool {
    rows == 0 || values.len() >= (rows - 1) * pitch + columns
}
