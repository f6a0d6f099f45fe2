//! The gradient of a convolution's weight: a tile of (tap, input channel) × output channels stays
//! in registers while all pixels of a part of the batch pass by.

use rayon::prelude::*;

use super::Geometry;
use super::padded::Padding;
use crate::images::{Images, OutPtr};
use crate::simd::accumulate::{Sums, Tiled, accumulate, each_tile};
use crate::simd::blocks::{self, Block, blocks};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Most parts that a batch is divided into. It does not depend on the number of threads, so
/// neither do the sums.
const PARTS: usize = 16;
/// Most values that the parts' sums may take together; wide layers divide their outputs instead.
const SUMS: usize = 1 << 18;
/// Tasks to aim at.
const TASKS: usize = 16;
/// Inputs whose sums are brought into the order of the weight at a time.
const INPUTS: usize = 16;
/// Pixels taken at a time where they need no padding.
const RUN: usize = 256;

/// Gradient `[outputs, inputs of a group, kernel...]` of the weight.
pub(crate) fn weight_grad(isa: Isa, geometry: &Geometry, input: Images, grad: Images) -> Vec<f32> {
    geometry.check(None, Some(input.size), Some(grad.size));
    let (inputs, outputs) = (geometry.group_inputs(), geometry.group_outputs());
    let padding = Padding::of(geometry);
    let dense = padding.is_none(&input);
    let pitch = if dense {
        input.pitch
    } else {
        input.size.channels
    };
    padding.check_offsets(pitch);
    let at = |row: usize, column: usize| (row * padding.width + column) * pitch;
    let rows: Vec<u32> = (0..geometry.kernel[0])
        .flat_map(|i| (0..geometry.kernel[1]).map(move |j| at(i, j)))
        .flat_map(|start| (start..start + inputs).map(|row| row as u32))
        .collect();
    let out = grad.size;
    let sources: Vec<u32> = (0..out.height)
        .flat_map(|r| (0..out.width).map(move |c| (r, c)))
        .map(|(r, c)| at(r * geometry.stride[0], c * geometry.stride[1]) as u32)
        .collect();

    let blocks: Vec<Block> = blocks(rows.len(), outputs, isa.lanes()).collect();
    let sums = rows.len() * outputs.next_multiple_of(isa.lanes());
    let batch = input.size.batch;
    let parts = PARTS.min(batch.max(1)).min((SUMS / sums.max(1)).max(1));
    let share = blocks.len().div_ceil((TASKS / parts).max(1)).max(1);
    let tasks: Vec<(usize, &[Block])> = (0..parts)
        .flat_map(|part| blocks.chunks(share).map(move |blocks| (part, blocks)))
        .collect();

    let mut total = vec![0.0f32; geometry.weight_len()];
    for group in 0..geometry.groups {
        let mut partial = vec![0.0f32; parts * sums];
        let target = OutPtr::of(&mut partial);
        tasks.par_iter().for_each(|&(part, blocks)| {
            let run = |x: &[f32], dy: &[f32], sources: Sources, count: usize| {
                isa.run(Tiles {
                    x: x.as_ptr(),
                    dy: dy.as_ptr(),
                    dy_pitch: grad.pitch,
                    sources,
                    count,
                    rows: &rows,
                    blocks,
                    sums: target,
                    part: part * sums,
                });
            };
            let images = (part * batch / parts)..((part + 1) * batch / parts);
            let (x_first, dy_first) = (group * inputs, group * outputs);
            if geometry.is_pointwise() {
                let area = out.area();
                let mut first = images.start * area;
                while first < images.end * area {
                    let count = RUN.min(images.end * area - first);
                    let x = &input.data[first * input.pitch + x_first..];
                    let dy = &grad.data[first * grad.pitch + dy_first..];
                    run(x, dy, Sources::Every(input.pitch), count);
                    first += count;
                }
                return;
            }
            for index in images {
                let dy = &grad.data[index * grad.image_pitch() + dy_first..];
                let list = Sources::List(&sources);
                if dense {
                    let x = &input.data[index * input.image_pitch() + x_first..];
                    run(x, dy, list, sources.len());
                } else {
                    scratch::with(padding.len(input.size.channels), |padded| {
                        padding.copy(&input, index, padded);
                        run(&padded[x_first..], dy, list, sources.len());
                    });
                }
            }
        });
        let size = outputs * inputs * geometry.taps();
        let weight = &mut total[group * size..][..size];
        unpack(isa, geometry, &blocks, &partial, parts, weight);
    }
    total
}

/// Adds the parts up in their order and brings the sum into the order of the weight.
fn unpack(
    isa: Isa,
    geometry: &Geometry,
    blocks: &[Block],
    partial: &[f32],
    parts: usize,
    weight: &mut [f32],
) {
    let (inputs, taps) = (geometry.group_inputs(), geometry.taps());
    let lanes = isa.lanes();
    let sums = partial.len() / parts;
    weight
        .par_chunks_mut((blocks::WIDE * lanes * inputs * taps).max(1))
        .zip(blocks)
        .for_each(|(weight, block)| {
            let stride = block.registers * lanes;
            // The sums of all outputs lie side by side: so few inputs at a time that they stay in the cache meanwhile.
            for first in (0..inputs).step_by(INPUTS) {
                for column in 0..block.columns {
                    for input in first..inputs.min(first + INPUTS) {
                        let weight = &mut weight[(column * inputs + input) * taps..][..taps];
                        for (tap, weight) in weight.iter_mut().enumerate() {
                            let index = block.start + (tap * inputs + input) * stride + column;
                            *weight = (0..parts).map(|part| partial[part * sums + index]).sum();
                        }
                    }
                }
            }
        });
}

/// Where the values of pixel `i` begin.
#[derive(Clone, Copy)]
enum Sources<'a> {
    Every(usize),
    List(&'a [u32]),
}

/// Adds `Σ_pixels x[row] · dy[column]` to the sums, laid out like packed weights.
///
/// From `x` on, the source of each of `count` pixels plus every row can be read, and from `dy` on as many rows of the
/// blocks' columns, `dy_pitch` apart. The sums have all rows of the blocks for each part,
/// and each task has other blocks or another part.
struct Tiles<'a> {
    x: *const f32,
    dy: *const f32,
    dy_pitch: usize,
    sources: Sources<'a>,
    count: usize,
    rows: &'a [u32],
    blocks: &'a [Block],
    sums: OutPtr,
    /// Where those of this part of the batch begin.
    part: usize,
}

impl Kernel for Tiles<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let blocks = self.blocks.iter().copied();
        // SAFETY: these are the rows of the sums, and the blocks are those of this instruction set.
        unsafe { each_tile(s, &self, self.rows.len(), blocks) }
    }
}

impl Tiled for Tiles<'_> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const R: usize, const Z: usize>(
        &self,
        s: S,
        row: usize,
        block: &Block,
    ) {
        let (pitch, columns) = (self.dy_pitch, block.columns);
        // SAFETY: every row and every source can be read, and a list has as many sources as there are pixels. The
        // last tile repeats its last row and does not store it.
        unsafe {
            let x = std::array::from_fn(|r| {
                let index = (row + r).min(self.rows.len() - 1);
                self.x.add(*self.rows.get_unchecked(index) as usize)
            });
            let dy = self.dy.add(block.first);
            let sums = Sums {
                to: self.sums.at(self.part + block.start + row * Z * S::LANES),
                rows: (self.rows.len() - row).min(R),
            };
            let before: [[S::V; Z]; R] = sums.load(s);
            let found = match self.sources {
                Sources::Every(step) => {
                    let terms = (0..self.count).map(|i| (i * step, i * pitch));
                    accumulate(s, before, x, dy, columns, terms)
                }
                Sources::List(list) => {
                    let sources = list.iter().enumerate();
                    let terms = sources.map(|(i, from)| (*from as usize, i * pitch));
                    accumulate(s, before, x, dy, columns, terms)
                }
            };
            sums.store(s, found);
        }
    }
}
