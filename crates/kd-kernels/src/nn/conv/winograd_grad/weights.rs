//! The gradient of the weight, from the sums of the products.

use rayon::prelude::*;

use super::{IN, POINTS};
use crate::nn::conv::Geometry;
use crate::nn::conv::filter::Four;
use crate::simd::blocks::{self, Block, blocks};
use crate::simd::{Isa, Kernel, Simd};

/// Applies `Gᵀ s G`.
pub(super) fn unpack(isa: Isa, geometry: &Geometry, sums: &[f32]) -> Vec<f32> {
    let (inputs, outputs) = (geometry.input.channels, geometry.outputs);
    let blocks: Vec<Block> = blocks(POINTS * inputs, outputs, isa.lanes()).collect();
    let mut weight = vec![0.0f32; geometry.weight_len()];
    weight
        .par_chunks_mut((blocks::WIDE * isa.lanes() * inputs * 9).max(1))
        .zip(&blocks)
        .for_each(|(weight, block)| {
            isa.run(Weights {
                sums: &sums[block.start..],
                inputs,
                stride: block.registers * isa.lanes(),
                weight,
            });
        });
    weight
}

/// Columns of the widest block.
const COLUMNS: usize = blocks::WIDE * 16;

/// The weights of a block of outputs, whose sums lie side by side.
struct Weights<'a> {
    sums: &'a [f32],
    inputs: usize,
    /// Values from a row of sums to the next.
    stride: usize,
    weight: &'a mut [f32],
}

impl Kernel for Weights<'_> {
    /// In double precision, and over arrays of columns that the compiler can vectorise.
    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let Self { inputs, stride, .. } = self;
        let mut half = [[[0.0f64; COLUMNS]; IN]; 3];
        let mut taps = [[0.0f64; COLUMNS]; 9];
        for input in 0..inputs {
            for j in 0..IN {
                let mut points = [[0.0f64; COLUMNS]; IN];
                for i in 0..IN {
                    let row = (i * IN + j) * inputs + input;
                    let sums = &self.sums[row * stride..][..stride];
                    for (point, sum) in points[i].iter_mut().zip(sums) {
                        *point = f64::from(*sum);
                    }
                }
                for column in 0..COLUMNS {
                    let three = Four::sums(std::array::from_fn(|i| points[i][column]));
                    for i in 0..3 {
                        half[i][j][column] = three[i];
                    }
                }
            }
            for i in 0..3 {
                for column in 0..COLUMNS {
                    let three = Four::sums(std::array::from_fn(|j| half[i][j][column]));
                    for j in 0..3 {
                        taps[i * 3 + j][column] = three[j];
                    }
                }
            }
            let outputs = self.weight.chunks_exact_mut(inputs * 9).enumerate();
            for (column, weight) in outputs {
                for (weight, taps) in weight[input * 9..].iter_mut().zip(&taps) {
                    *weight = taps[column] as f32;
                }
            }
        }
    }
}
