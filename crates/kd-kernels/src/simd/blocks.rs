//! The columns of a matrix in blocks, each of which a register tile takes at once.

/// Registers of columns in a block.
pub(crate) const WIDE: usize = 2;

/// A block of columns.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// First column.
    pub first: usize,
    /// Registers of columns.
    pub registers: usize,
    /// Columns that are there.
    pub columns: usize,
    /// Where its values begin in a matrix that is stored block by block, in whole registers.
    pub start: usize,
}

/// The blocks of a matrix `[rows, columns]`: of [`WIDE`] registers, but the last may have fewer.
pub(crate) fn blocks(
    rows: usize,
    columns: usize,
    lanes: usize,
) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator + Clone {
    let width = WIDE * lanes;
    (0..columns.div_ceil(width)).map(move |index| {
        let first = index * width;
        let there = (columns - first).min(width);
        Block {
            first,
            registers: there.div_ceil(lanes),
            columns: there,
            start: rows * first,
        }
    })
}
