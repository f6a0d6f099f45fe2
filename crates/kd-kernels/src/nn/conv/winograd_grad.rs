//! The weight gradient of 3×3 convolutions of stride 1, from the transformed tiles of `winograd`:
//! `Gᵀ[ Σ_tiles (Bᵀ d B) ⊙ (A dy Aᵀ) ]G`.

use std::ops::Range;

use rayon::prelude::*;

mod weights;

use self::weights::unpack;
use super::Geometry;
use super::filter::{Filter, Four, MOST_IN as IN, MOST_OUT as OUT};
use super::winograd::{Tiling, input_tile};
use crate::images::{Images, OutPtr};
use crate::simd::accumulate::{Sums, Tiled, accumulate, each_tile};
use crate::simd::blocks::{Block, blocks};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Products of a tile.
const POINTS: usize = Four::POINTS;
/// Values that the transformed tiles of all threads may take together.
const SHARED: usize = 1_000_000;

/// Gradient `[outputs, inputs, 3, 3]` of the weight.
pub(crate) fn weight_grad(isa: Isa, geometry: &Geometry, input: Images, grad: Images) -> Vec<f32> {
    assert!(geometry.is_winograd(), "{geometry:?}");
    geometry.check(None, Some(input.size), Some(grad.size));
    let lanes = isa.lanes();
    let (inputs, outputs) = (geometry.input.channels, geometry.outputs);
    let tiling = Tiling::new::<Four>(geometry.input, geometry.output(), geometry.padding);
    let work = Work {
        isa,
        tiling: &tiling,
        input,
        grad,
        zeros: &vec![0.0; inputs.next_multiple_of(lanes)],
        wide: [inputs, outputs].map(|channels| channels.next_multiple_of(lanes)),
    };
    unpack(isa, geometry, &work.sums())
}

#[derive(Clone, Copy)]
struct Work<'a> {
    isa: Isa,
    tiling: &'a Tiling,
    input: Images<'a>,
    grad: Images<'a>,
    zeros: &'a [f32],
    /// Input and output channels in whole registers.
    wide: [usize; 2],
}

impl Work<'_> {
    /// Products summed over all tiles, laid out like packed weights with the rows (point, input).
    ///
    /// All threads transform some tiles, then share the points among them: no thread needs sums
    /// of its own, and every sum runs over the tiles in their order.
    fn sums(&self) -> Vec<f32> {
        let mut sums = vec![0.0f32; POINTS * self.tiling.input.channels * self.wide[1]];
        let count = self.tiling.count();
        let both = self.wide[0] + self.wide[1];
        let group = (SHARED / (POINTS * both)).clamp(16, count.max(16));
        let strides = self.wide.map(|wide| group * wide + 16);
        scratch::with(POINTS * (strides[0] + strides[1]), |work| {
            let (values, grads) = work.split_at_mut(POINTS * strides[0]);
            let buffers = Buffers {
                values: OutPtr::of(values),
                grads: OutPtr::of(grads),
                strides,
            };
            let sums = OutPtr::of(&mut sums);
            let mut first = 0;
            while first < count {
                let tiles = first..count.min(first + group);
                (0..tiles.len().div_ceil(8))
                    .into_par_iter()
                    .for_each(|task| {
                        let start = tiles.start + task * 8;
                        self.transform(&buffers, start..tiles.end.min(start + 8), task * 8);
                    });
                (0..POINTS).into_par_iter().for_each(|point| {
                    self.multiply(&buffers, tiles.len(), point..point + 1, sums);
                });
                first = tiles.end;
            }
        });
        sums
    }

    /// Transforms `tiles` into the places from `place` on.
    fn transform(&self, buffers: &Buffers, tiles: Range<usize>, place: usize) {
        self.isa.run(Transform {
            work: self,
            buffers,
            tiles,
            place,
        });
    }

    /// Adds the products of the first `count` tiles at some points to the sums.
    fn multiply(&self, buffers: &Buffers, count: usize, points: Range<usize>, sums: OutPtr) {
        self.isa.run(Multiply {
            work: self,
            buffers,
            count,
            points,
            sums,
        });
    }
}

/// Transformed tiles, `[point][tile][channel]`.
struct Buffers {
    values: OutPtr,
    grads: OutPtr,
    /// Values from a point to the next.
    strides: [usize; 2],
}

struct Transform<'a> {
    work: &'a Work<'a>,
    buffers: &'a Buffers,
    tiles: Range<usize>,
    place: usize,
}

impl Kernel for Transform<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Work { tiling, wide, .. } = self.work;
        for (index, tile) in self.tiles.clone().enumerate() {
            let place = self.place + index;
            // SAFETY: the tile is one of the tiling's, and the buffers have a place for it, which is this task's
            // alone.
            unsafe {
                input_tile::<S, Four>(
                    s,
                    tiling,
                    &self.work.input,
                    self.work.zeros,
                    tile,
                    self.buffers.values.at(place * wide[0]),
                    self.buffers.strides[0],
                );
                self.grad_tile(s, tile, self.buffers.grads.at(place * wide[1]));
            }
        }
    }
}

impl Transform<'_> {
    /// Writes `A dy Aᵀ` of a tile; gradients outside of the output are zero.
    ///
    /// # Safety
    /// The tile is one of the tiling's, whose output's size is that of the gradient. From `to` on, the channels in
    /// whole registers can be written for each point, a stride of the gradients apart, and no other task has them.
    #[inline(always)]
    unsafe fn grad_tile<S: Simd>(&self, s: S, tile: usize, to: *mut f32) {
        let Work { tiling, grad, .. } = self.work;
        let size = tiling.output;
        let (image, top, left) = tiling.place(tile);
        let (rows, columns) = ((size.height - top).min(OUT), (size.width - left).min(OUT));
        let base = (image * size.height + top) * size.width + left;
        let stride = self.buffers.strides[1];
        for channel in (0..size.channels).step_by(S::LANES) {
            let left = size.channels - channel;
            // SAFETY: only pixels of the output are read, and the caller has room for the registers at every point.
            unsafe {
                let mut half = [[s.zero(); OUT]; IN];
                for j in 0..OUT {
                    let mut d = [s.zero(); OUT];
                    if j < columns {
                        for i in 0..OUT {
                            if i < rows {
                                let pixel = base + i * size.width + j;
                                d[i] = grad.load(s, pixel, channel, left);
                            }
                        }
                    }
                    let d = Four::grad(s, d);
                    for i in 0..IN {
                        half[i][j] = d[i];
                    }
                }
                for (i, row) in half.into_iter().enumerate() {
                    let row = Four::grad(s, row);
                    for (j, value) in row.into_iter().enumerate() {
                        s.store(to.add((i * IN + j) * stride + channel), value);
                    }
                }
            }
        }
    }
}

struct Multiply<'a> {
    work: &'a Work<'a>,
    buffers: &'a Buffers,
    count: usize,
    points: Range<usize>,
    sums: OutPtr,
}

impl Kernel for Multiply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tiling = self.work.tiling;
        let inputs = tiling.input.channels;
        for point in self.points.clone() {
            let blocks = blocks(POINTS * inputs, tiling.output.channels, S::LANES);
            let all = &self;
            // SAFETY: the buffers hold `count` tiles, and the sums these blocks of every point.
            unsafe { each_tile(s, &Point { all, point }, inputs, blocks) }
        }
    }
}

/// The sums of a point: inputs are the rows, outputs the columns.
struct Point<'a> {
    all: &'a Multiply<'a>,
    point: usize,
}

impl Tiled for Point<'_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const Z: usize>(
        &self,
        s: S,
        row: usize,
        block: &Block,
    ) {
        let Self { all, point } = self;
        let Buffers {
            values,
            grads,
            strides,
        } = all.buffers;
        let inputs = all.work.tiling.input.channels;
        let [from, to] = all.work.wide;
        let terms = (0..all.count).map(|tile| (tile * from, tile * to));
        // SAFETY: the buffers hold every tile at every point. The last tile of sums repeats its last row and does not
        // store it.
        unsafe {
            let values = values.at(point * strides[0]).cast_const();
            let x = std::array::from_fn(|r| values.add((row + r).min(inputs - 1)));
            let grads = grads.at(point * strides[1] + block.first);
            let start = block.start + (point * inputs + row) * Z * S::LANES;
            let sums = Sums {
                to: all.sums.at(start),
                rows: (inputs - row).min(R),
            };
            let before: [[S::V; Z]; R] = sums.load(s);
            let found = accumulate(s, before, x, grads, Z * S::LANES, terms);
            sums.store(s, found);
        }
    }
}
