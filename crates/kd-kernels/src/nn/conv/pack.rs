//! Weights in the order in which a register tile reads them.

use rayon::prelude::*;

use crate::simd::blocks::{Block, WIDE, blocks};

/// Inputs that are packed for one column after the other: so few that all of it stays in a first-level cache.
const INPUTS: usize = 16;

/// A matrix `[rows, columns]` in blocks of [`WIDE`] registers of columns (the last may have
/// fewer), each block row by row; columns that are not there are zero.
pub(crate) struct Packed {
    pub data: Vec<f32>,
    pub rows: usize,
    pub columns: usize,
    lanes: usize,
}

impl Packed {
    /// Packs `value(tap, input, column)` of rows that are inputs, tap by tap.
    pub fn new(
        [taps, inputs]: [usize; 2],
        columns: usize,
        lanes: usize,
        value: impl Fn(usize, usize, usize) -> f32 + Sync,
    ) -> Self {
        Self::fill(taps * inputs, columns, lanes, |block, part| {
            let stride = block.registers * lanes;
            for first in (0..inputs).step_by(INPUTS) {
                for column in 0..block.columns {
                    for input in first..inputs.min(first + INPUTS) {
                        for tap in 0..taps {
                            let row = tap * inputs + input;
                            part[row * stride + column] = value(tap, input, block.first + column);
                        }
                    }
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
