//! The weight gradient of 3×3 convolutions of stride 1, from the transformed tiles of `winograd`:
//! `Gᵀ[ Σ_tiles (Bᵀ d B) ⊙ (A dy Aᵀ) ]G`.

use std::ops::Range;

use rayon::prelude::*;

use super::Geometry;
use super::filter::{Filter, Four, MOST_IN as IN, MOST_OUT as OUT};
use super::pack::{Block, blocks};
use super::winograd::{Tiling, input_tile};
use crate::images::{Images, OutPtr};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd, with_tile_rows};

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
    unpack(geometry, &work.sums(), lanes)
}

/// Applies `Gᵀ s G`.
fn unpack(geometry: &Geometry, sums: &[f32], lanes: usize) -> Vec<f32> {
    let (inputs, outputs) = (geometry.input.channels, geometry.outputs);
    let blocks: Vec<Block> = blocks(POINTS * inputs, outputs, lanes).collect();
    let mut weight = vec![0.0f32; geometry.weight_len()];
    weight
        .par_chunks_mut((inputs * 9).max(1))
        .enumerate()
        .for_each(|(output, weight)| {
            let block = &blocks[output / (super::pack::WIDE * lanes)];
            let stride = block.registers * lanes;
            for (input, weight) in weight.chunks_exact_mut(9).enumerate() {
                let points: [f32; POINTS] = std::array::from_fn(|point| {
                    let row = point * inputs + input;
                    sums[block.start + row * stride + output - block.first]
                });
                weight.copy_from_slice(&transform_sums(&points));
            }
        });
    weight
}

/// `Gᵀ s G`, in double precision.
fn transform_sums(s: &[f32; POINTS]) -> [f32; 9] {
    let columns: [[f64; 3]; IN] =
        std::array::from_fn(|j| Four::sums(std::array::from_fn(|i| f64::from(s[i * IN + j]))));
    let mut taps = [0.0; 9];
    for i in 0..3 {
        let row = Four::sums(std::array::from_fn(|j| columns[j][i]));
        for (j, value) in row.into_iter().enumerate() {
            taps[i * 3 + j] = value as f32;
        }
    }
    taps
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
                values: OutPtr::new(values),
                grads: OutPtr::new(grads),
                strides,
            };
            let sums = OutPtr::new(&mut sums);
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
    unsafe fn run<S: Simd>(self) {
        let Work { tiling, wide, .. } = self.work;
        for (index, tile) in self.tiles.clone().enumerate() {
            let place = self.place + index;
            // SAFETY: the buffers hold this many tiles.
            unsafe {
                input_tile::<S, Four>(
                    tiling,
                    &self.work.input,
                    self.work.zeros,
                    tile,
                    self.buffers.values.at(place * wide[0]),
                    self.buffers.strides[0],
                );
                self.grad_tile::<S>(tile, self.buffers.grads.at(place * wide[1]));
            }
        }
    }
}

impl Transform<'_> {
    /// Writes `A dy Aᵀ` of a tile; gradients outside of the output are zero.
    ///
    /// # Safety
    /// The processor has the instructions of `S`. The tile is one of the tiling's, whose output's size is that of the gradient. From
    /// `to` on, the channels in whole registers can be written for each point, a stride of the gradients apart, and no
    /// other task has them.
    #[inline(always)]
    unsafe fn grad_tile<S: Simd>(&self, tile: usize, to: *mut f32) {
        let Work { tiling, grad, .. } = self.work;
        let size = tiling.output;
        let (image, top, left) = tiling.place(tile);
        let (rows, columns) = ((size.height - top).min(OUT), (size.width - left).min(OUT));
        let base = (image * size.height + top) * size.width + left;
        let stride = self.buffers.strides[1];
        for channel in (0..size.channels).step_by(S::LANES) {
            let remaining = size.channels - channel;
            // SAFETY: the caller's promise; only pixels of the output are read.
            unsafe {
                let mut half = [[S::zero(); OUT]; IN];
                for j in 0..OUT {
                    let mut d = [S::zero(); OUT];
                    if j < columns {
                        for i in 0..OUT {
                            if i < rows {
                                let pixel = base + i * size.width + j;
                                let from = grad.data.as_ptr().add(pixel * grad.pitch + channel);
                                d[i] = S::load_up_to(from, remaining);
                            }
                        }
                    }
                    let d = Four::grad::<S>(d);
                    for i in 0..IN {
                        half[i][j] = d[i];
                    }
                }
                for (i, row) in half.into_iter().enumerate() {
                    let row = Four::grad::<S>(row);
                    for (j, value) in row.into_iter().enumerate() {
                        S::store(to.add((i * IN + j) * stride + channel), value);
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
    unsafe fn run<S: Simd>(self) {
        // SAFETY: the buffers hold `count` tiles, the sums all points.
        unsafe { with_tile_rows!(S::LANES, |R| self.all::<S, R, { 2 * R }>()) }
    }
}

impl Multiply<'_> {
    /// # Safety
    /// The processor has the instructions of `S`, for whose lanes the work is laid out. The buffers hold `count` tiles, and the sums
    /// all points, of which no other task has these.
    #[inline(always)]
    unsafe fn all<S: Simd, const R2: usize, const R1: usize>(&self) {
        let tiling = self.work.tiling;
        let inputs = tiling.input.channels;
        for point in self.points.clone() {
            for block in blocks(POINTS * inputs, tiling.output.channels, S::LANES) {
                // SAFETY: the caller's promise; these are the blocks of the sums.
                unsafe {
                    match block.registers {
                        2 => self.block::<S, R2, 2>(point, &block),
                        _ => self.block::<S, R1, 1>(point, &block),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`all`](Self::all); the point is one of them, and the block one of its sums', of `Z` registers.
    #[inline(always)]
    unsafe fn block<S: Simd, const R: usize, const Z: usize>(&self, point: usize, block: &Block) {
        let inputs = self.work.tiling.input.channels;
        let [from, to] = self.work.wide;
        let mut row = 0;
        while row < inputs {
            // SAFETY: the caller's promise; the last tile of sums repeats its last row and does not store it.
            unsafe {
                let valid = (inputs - row).min(R);
                let values = self.buffers.values.at(point * self.buffers.strides[0]);
                let mut grads = self
                    .buffers
                    .grads
                    .at(point * self.buffers.strides[1] + block.first)
                    .cast_const();
                let at = |r: usize, z: usize| {
                    let row = point * inputs + row + r;
                    self.sums
                        .at(block.start + row * Z * S::LANES + z * S::LANES)
                };
                let mut x = [values.cast_const(); R];
                let mut sums = [[S::zero(); Z]; R];
                for r in 0..R {
                    x[r] = values.add((row + r).min(inputs - 1));
                    if r < valid {
                        for z in 0..Z {
                            sums[r][z] = S::load(at(r, z));
                        }
                    }
                }
                for tile in 0..self.count {
                    let mut d = [S::zero(); Z];
                    for z in 0..Z {
                        d[z] = S::load(grads.add(z * S::LANES));
                    }
                    grads = grads.add(to);
                    for r in 0..R {
                        let value = S::splat(*x[r].add(tile * from));
                        for z in 0..Z {
                            sums[r][z] = S::fma(value, d[z], sums[r][z]);
                        }
                    }
                }
                // Constant bounds keep the sums in registers.
                for r in 0..R {
                    if r < valid {
                        for z in 0..Z {
                            S::store(at(r, z), sums[r][z]);
                        }
                    }
                }
            }
            row += R;
        }
    }
}
