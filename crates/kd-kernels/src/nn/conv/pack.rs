//! Weights in the order in which a register tile reads them.

use rayon::prelude::*;

/// Registers of output channels in a tile.
pub(crate) const WIDE: usize = 2;

/// A matrix `[rows, columns]` in blocks of [`WIDE`] registers of columns (the last may have
/// fewer), each block row by row; columns that are not there are zero.
pub(crate) struct Packed {
    pub data: Vec<f32>,
    pub rows: usize,
    pub columns: usize,
    lanes: usize,
}

/// A block of columns.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// First column.
    pub first: usize,
    /// Registers of columns.
    pub registers: usize,
    /// Columns that are there.
    pub columns: usize,
    /// Index of its first value in [`Packed::data`].
    pub start: usize,
}

/// The blocks of a matrix.
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

impl Packed {
    /// Packs `value(row, column)`.
    pub fn new(
        rows: usize,
        columns: usize,
        lanes: usize,
        value: impl Fn(usize, usize) -> f32 + Sync,
    ) -> Self {
        Self::fill(rows, columns, lanes, |block, part| {
            let stride = block.registers * lanes;
            for column in 0..block.columns {
                for row in 0..rows {
                    part[row * stride + column] = value(row, block.first + column);
                }
            }
        })
    }

    /// Has `fill` write each block over zeros.
    pub fn fill(
        rows: usize,
        columns: usize,
        lanes: usize,
        fill: impl Fn(Block, &mut [f32]) + Sync,
    ) -> Self {
        let mut data = vec![0.0; rows * columns.next_multiple_of(lanes)];
        data.par_chunks_mut((rows * WIDE * lanes).max(1))
            .zip(blocks(rows, columns, lanes).collect::<Vec<_>>())
            .for_each(|(part, block)| fill(block, part));
        Self {
            data,
            rows,
            columns,
            lanes,
        }
    }

    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = Block> + ExactSizeIterator + Clone {
        blocks(self.rows, self.columns, self.lanes)
    }
}
