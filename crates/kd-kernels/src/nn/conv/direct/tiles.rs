//! The register tiles of a direct convolution.

use super::Pass;
use crate::images::OutPtr;
use crate::nn::conv::Epilogue;
use crate::simd::accumulate::{Tiled, accumulate, each_tile};
use crate::simd::blocks::Block;
use crate::simd::{Kernel, Simd};

/// Where the values and the outputs of pixel `i` are.
#[derive(Clone, Copy)]
pub(super) enum Places {
    /// As the pass lists them.
    Listed,
    /// The values `i · pitch` further than the first ones, the output `i` further.
    InTurn { count: usize, pitch: usize },
}

/// The tiles of a pass over one image.
///
/// From `from` on, every source of the pass plus every row of it can be read; with its weights they are equally many.
/// `start` plus every target is a pixel of the output, and `y`, bias and residual have the pass's channels of it,
/// which no other task writes.
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
    fn run<S: Simd>(self, s: S) {
        // SAFETY: the pass was made for this instruction set, and its pixels are the rows of the work.
        unsafe { each_tile(s, &self, self.count(), self.pass.weights.blocks()) }
    }
}

impl Tiles<'_> {
    /// Pixels.
    #[inline(always)]
    fn count(&self) -> usize {
        match self.places {
            Places::Listed => self.pass.sources.len(),
            Places::InTurn { count, .. } => count,
        }
    }
}

impl Tiled for Tiles<'_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const Z: usize>(
        &self,
        s: S,
        pixel: usize,
        block: &Block,
    ) {
        let count = self.count();
        let mut x = [self.from; P];
        let mut places = [0usize; P];
        for p in 0..P {
            // The last tile repeats its last pixel and does not store it.
            let i = (pixel + p).min(count - 1);
            // SAFETY: pixel `i` is below the count, and every source can be read.
            unsafe {
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
        }
        let rows = self.pass.rows.iter().enumerate();
        let terms = rows.map(|(k, row)| (*row as usize, k * Z * S::LANES));
        let zeros = [[s.zero(); Z]; P];
        // SAFETY: a source plus a row can be read, and the block has its registers of weights for each row.
        let sums = unsafe {
            let weights = self.pass.weights.data.as_ptr().add(block.start);
            accumulate(s, zeros, x, weights, Z * S::LANES, terms)
        };
        let valid = (count - pixel).min(P);
        for z in 0..Z {
            let channel = self.pass.first + block.first + z * S::LANES;
            let left = block.columns - z * S::LANES;
            for p in 0..P {
                if p < valid {
                    // SAFETY: the output has this pixel, and the channels that are left.
                    unsafe {
                        let y = self.y.at(places[p] * self.channels + channel);
                        self.epilogue
                            .store(s, sums[p][z], places[p], channel, left, y);
                    }
                }
            }
        }
        if self.epilogue.is_curved() {
            for place in &places[..valid] {
                for z in 0..Z {
                    let channel = z * S::LANES;
                    // SAFETY: these values were stored.
                    unsafe {
                        let start = place * self.channels + self.pass.first + block.first;
                        let y = self.y.at(start + channel);
                        self.epilogue.bend(s, block.columns - channel, y);
                    }
                }
            }
        }
    }
}
