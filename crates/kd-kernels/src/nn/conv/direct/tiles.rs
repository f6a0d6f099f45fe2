//! The register tiles of a direct convolution.

use super::Pass;
use crate::images::OutPtr;
use crate::nn::conv::Epilogue;
use crate::nn::conv::pack::Block;
use crate::simd::{Kernel, Simd, with_tile_rows};

/// Where the values and the outputs of pixel `i` are.
#[derive(Clone, Copy)]
pub(super) enum Places {
    /// As the pass lists them.
    Listed,
    /// The values `i · pitch` further than the first ones, the output `i` further.
    InTurn { count: usize, pitch: usize },
}

/// The tiles of a pass over one image.
pub(super) struct Tiles<'a> {
    pub pass: &'a Pass,
    pub from: *const f32,
    pub places: Places,
    /// Place of the first pixel of the image among all pixels of the output.
    pub start: usize,
    pub channels: usize,
    pub epilogue: &'a Epilogue<'a>,
    pub y: OutPtr,
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the plan's offsets lie within the padded image and the output.
        unsafe { with_tile_rows!(S::LANES, |R| self.all::<S, R, { 2 * R }>()) }
    }
}

impl Tiles<'_> {
    /// # Safety
    /// The processor has the instructions of `S`, for which the weights were packed. From `from` on, every source of the pass plus
    /// every row of it can be read; with its weights they are equally many. `start` plus every target is a pixel of the
    /// output, and `y`, bias and residual have the pass's channels of it, which no other task writes.
    #[inline(always)]
    unsafe fn all<S: Simd, const P2: usize, const P1: usize>(&self) {
        for block in self.pass.weights.blocks() {
            // SAFETY: the caller's promise; these are the blocks of the weights.
            unsafe {
                match block.registers {
                    2 => self.block::<S, P2, 2>(&block),
                    _ => self.block::<S, P1, 1>(&block),
                }
            }
        }
    }

    /// # Safety
    /// As [`all`](Self::all); the block is one of the weights', of `Z` registers.
    #[inline(always)]
    unsafe fn block<S: Simd, const P: usize, const Z: usize>(&self, block: &Block) {
        let count = match self.places {
            Places::Listed => self.pass.sources.len(),
            Places::InTurn { count, .. } => count,
        };
        let mut pixel = 0;
        while pixel < count {
            // SAFETY: the caller's promise, and the loop's condition.
            unsafe { self.tile::<S, P, Z>(block, pixel, count) };
            pixel += P;
        }
    }

    /// # Safety
    /// As [`block`](Self::block); `pixel` is below `count`, the number of places.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const Z: usize>(
        &self,
        block: &Block,
        pixel: usize,
        count: usize,
    ) {
        // SAFETY: the caller's promise; the last group repeats its last pixel and does not store it.
        unsafe {
            let mut x = [self.from; P];
            let mut places = [0usize; P];
            for p in 0..P {
                let i = (pixel + p).min(count - 1);
                let (source, place) = match self.places {
                    Places::InTurn { pitch, .. } => (i * pitch, i),
                    Places::Listed => (
                        *self.pass.sources.get_unchecked(i) as usize,
                        *self.pass.targets.get_unchecked(i) as usize,
                    ),
                };
                x[p] = self.from.add(source);
                places[p] = self.start + place;
            }
            let mut sums = [[S::zero(); Z]; P];
            let mut weights = self.pass.weights.data.as_ptr().add(block.start);
            for &row in &self.pass.rows {
                let row = row as usize;
                let mut w = [S::zero(); Z];
                for z in 0..Z {
                    w[z] = S::load(weights.add(z * S::LANES));
                }
                weights = weights.add(Z * S::LANES);
                for p in 0..P {
                    let value = S::splat(*x[p].add(row));
                    for z in 0..Z {
                        sums[p][z] = S::fma(value, w[z], sums[p][z]);
                    }
                }
            }
            let valid = (count - pixel).min(P);
            for z in 0..Z {
                let channel = self.pass.first + block.first + z * S::LANES;
                let left = block.columns - z * S::LANES;
                for p in 0..P {
                    if p < valid {
                        let y = self.y.at(places[p] * self.channels + channel);
                        self.epilogue
                            .store::<S>(sums[p][z], places[p], channel, left, y);
                    }
                }
            }
        }
    }
}
