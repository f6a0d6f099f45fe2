//! The weights of a convolution, transformed.

use std::marker::PhantomData;

use crate::nn::conv::filter::{Filter, MOST_IN};
use crate::nn::conv::pack::Packed;
use crate::simd::blocks::{Block, WIDE};
use crate::simd::{Isa, Kernel, Simd};

/// `G g Gᵀ` of every pair of channels, each point packed by itself.
pub(super) fn transform_weights<F: Filter>(
    isa: Isa,
    inputs: usize,
    outputs: usize,
    taps: impl Fn(usize, usize) -> [f32; 9] + Sync,
) -> Packed {
    // Rows are (point, input), so that a block of outputs holds all of its points.
    Packed::fill(F::POINTS * inputs, outputs, isa.lanes(), |block, to| {
        isa.run(Weights {
            filter: PhantomData::<F>,
            inputs,
            stride: block.registers * isa.lanes(),
            block,
            taps: &taps,
            to,
        });
    })
}

/// The transformed weights of a block of outputs.
struct Weights<'a, F, T> {
    filter: PhantomData<F>,
    inputs: usize,
    stride: usize,
    block: Block,
    taps: &'a T,
    to: &'a mut [f32],
}

/// Columns of the widest block.
const COLUMNS: usize = WIDE * 16;

impl<F: Filter, T: Fn(usize, usize) -> [f32; 9]> Kernel for Weights<'_, F, T> {
    /// In double precision, and over arrays of columns that the compiler can vectorise.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let mut g = [[0.0f64; COLUMNS]; 9];
        let mut half = [[[0.0f64; COLUMNS]; MOST_IN]; 3];
        for input in 0..self.inputs {
            for column in 0..self.block.columns {
                let taps = (self.taps)(self.block.first + column, input);
                for tap in 0..9 {
                    g[tap][column] = f64::from(taps[tap]);
                }
            }
            for j in 0..3 {
                for column in 0..COLUMNS {
                    let points = F::taps([g[j][column], g[3 + j][column], g[6 + j][column]]);
                    for i in 0..F::IN {
                        half[j][i][column] = points[i];
                    }
                }
            }
            for i in 0..F::IN {
                let mut row = [[0.0f32; COLUMNS]; MOST_IN];
                for column in 0..COLUMNS {
                    let points =
                        F::taps([half[0][i][column], half[1][i][column], half[2][i][column]]);
                    for j in 0..F::IN {
                        row[j][column] = points[j] as f32;
                    }
                }
                for j in 0..F::IN {
                    let start = ((i * F::IN + j) * self.inputs + input) * self.stride;
                    self.to[start..][..self.stride].copy_from_slice(&row[j][..self.stride]);
                }
            }
        }
    }
}
