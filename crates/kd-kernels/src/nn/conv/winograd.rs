//! 3×3 convolutions of stride 1 with fewer multiplications (Lavin and Gray, CVPR 2016).
//!
//! `F(m×m, 3×3)`: a tile of `(m+2)²` inputs gives `m²` outputs as `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`. Some
//! tiles are transformed together, then multiplied by the transformed weights as `(m+2)²` small
//! matrix products, then transformed back; all of it stays in the cache.

mod tiles;
mod weights;

use std::marker::PhantomData;
use std::mem::MaybeUninit;

use rayon::prelude::*;

use super::filter::{Filter, Four, MOST_IN, MOST_OUT};
use super::pack::Packed;
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr};
use crate::simd::accumulate::{Tiled, accumulate, each_tile};
use crate::simd::blocks::Block;
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd};

pub(super) use self::tiles::{Tiling, input_tile};
use self::weights::transform_weights;

/// Values that the transformed tiles of a task may take: about half of a second-level cache.
const WORK: usize = 150_000;

/// `y = x ∗ w`, written over `y`, which is dense.
pub(crate) fn forward<F: Filter>(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    assert!(geometry.is_winograd(), "{geometry:?}");
    geometry.check(Some(weight), Some(input.size), None);
    let taps = |output: usize, input: usize| -> [f32; 9] {
        std::array::from_fn(|tap| weight[geometry.weight_index(output, input, tap)])
    };
    let tiling = Tiling::new::<F>(geometry.input, geometry.output(), geometry.padding);
    run::<F>(isa, &tiling, input, taps, epilogue, y);
}

/// The gradient of the input, written over `dx`, which is dense: a convolution with the weights
/// turned by half a circle.
pub(crate) fn input_grad(
    isa: Isa,
    geometry: &Geometry,
    grad: Images,
    weight: &[f32],
    epilogue: Epilogue,
    dx: &mut [MaybeUninit<f32>],
) {
    assert!(geometry.is_winograd(), "{geometry:?}");
    geometry.check(Some(weight), None, Some(grad.size));
    let taps = |output: usize, input: usize| -> [f32; 9] {
        std::array::from_fn(|tap| weight[geometry.weight_index(input, output, 8 - tap)])
    };
    let padding = geometry.padding.map(|padding| 2 - padding);
    let tiling = Tiling::new::<Four>(grad.size, geometry.input, padding);
    run::<Four>(isa, &tiling, grad, taps, epilogue, dx);
}

fn run<F: Filter>(
    isa: Isa,
    tiling: &Tiling,
    input: Images,
    taps: impl Fn(usize, usize) -> [f32; 9] + Sync,
    epilogue: Epilogue,
    y: &mut [MaybeUninit<f32>],
) {
    epilogue.check(tiling.output);
    let y = OutPtr::new(y, tiling.output.len());
    let lanes = isa.lanes();
    let (inputs, outputs) = (tiling.input.channels, tiling.output.channels);
    let weights = transform_weights::<F>(isa, inputs, outputs, taps);
    let wide = [inputs, outputs].map(|channels| channels.next_multiple_of(lanes));
    let count = tiling.count();
    // As many tiles as the cache holds, but enough tasks for every thread.
    let group = (WORK / (F::POINTS * (wide[0] + wide[1])))
        .clamp(24, 256)
        .min(count.div_ceil(rayon::current_num_threads()).max(1))
        .next_multiple_of(8);
    let zeros = vec![0.0; wide[0]];
    // A point's values end off a power of two, or all points would share a few cache sets.
    let strides = wide.map(|channels| group * channels + lanes.max(16));
    (0..count.div_ceil(group)).into_par_iter().for_each(|task| {
        let first = task * group;
        scratch::with(F::POINTS * (strides[0] + strides[1]), |work| {
            let (values, products) = work.split_at_mut(F::POINTS * strides[0]);
            isa.run(Group {
                filter: PhantomData::<F>,
                tiling,
                input,
                weights: &weights,
                zeros: &zeros,
                first,
                count: group.min(count - first),
                strides,
                values: OutPtr::of(values),
                products: OutPtr::of(products),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

/// The tiles of a task.
///
/// `values` has `POINTS` times the first of the strides, `products` the second, and both belong to this task, as do
/// the pixels of its tiles in `y`, which has every pixel of the output.
struct Group<'a, F> {
    filter: PhantomData<F>,
    tiling: &'a Tiling,
    input: Images<'a>,
    weights: &'a Packed,
    zeros: &'a [f32],
    first: usize,
    count: usize,
    /// Values from a point to the next, of the inputs and of the products.
    strides: [usize; 2],
    values: OutPtr,
    products: OutPtr,
    epilogue: &'a Epilogue<'a>,
    y: OutPtr,
}

impl<F: Filter> Kernel for Group<'_, F> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pitch = self.tiling.input.channels.next_multiple_of(S::LANES);
        for index in 0..self.count {
            // SAFETY: the tile is one of the task's, all of which have their places among the values.
            unsafe {
                input_tile::<S, F>(
                    s,
                    self.tiling,
                    &self.input,
                    self.zeros,
                    self.first + index,
                    self.values.at(index * pitch),
                    self.strides[0],
                );
            }
        }
        for point in 0..F::POINTS {
            let group = &self;
            // SAFETY: the values of all tiles were written, and the weights were packed for this instruction set.
            unsafe {
                each_tile(
                    s,
                    &Point { group, point },
                    self.count,
                    self.weights.blocks(),
                )
            }
        }
        for index in 0..self.count {
            // SAFETY: the products of all points were written.
            unsafe { self.output_tile(s, index) }
        }
    }
}

/// The matrix product of a point: tiles of the input are the rows, output channels the columns.
struct Point<'a, F> {
    group: &'a Group<'a, F>,
    point: usize,
}

impl<F: Filter> Tiled for Point<'_, F> {
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const Z: usize>(
        &self,
        s: S,
        first: usize,
        block: &Block,
    ) {
        let Self { group, point } = self;
        let inputs = group.tiling.input.channels;
        let [from, to] = [inputs, group.tiling.output.channels]
            .map(|channels| channels.next_multiple_of(S::LANES));
        let start = block.start + point * inputs * Z * S::LANES;
        let terms = (0..inputs).map(|input| (input, input * Z * S::LANES));
        let zeros = [[s.zero(); Z]; P];
        // SAFETY: the buffers have every tile at every point, and the weights every input at every point of the
        // block. The last tile of products repeats its last row and does not store it.
        unsafe {
            let values = group.values.at(point * group.strides[0]).cast_const();
            let x = std::array::from_fn(|p| values.add((first + p).min(group.count - 1) * from));
            let weights = group.weights.data.as_ptr().add(start);
            let sums = accumulate(s, zeros, x, weights, Z * S::LANES, terms);
            let products = group.products.at(point * group.strides[1] + block.first);
            for p in 0..P {
                if first + p < group.count {
                    for z in 0..Z {
                        s.store(products.add((first + p) * to + z * S::LANES), sums[p][z]);
                    }
                }
            }
        }
    }
}

impl<F: Filter> Group<'_, F> {
    /// Writes `Aᵀ m A` of a tile, as far as it lies in the output.
    ///
    /// # Safety
    /// The products of all points were written, and `index` is below `count`.
    #[inline(always)]
    unsafe fn output_tile<S: Simd>(&self, s: S, index: usize) {
        let size = self.tiling.output;
        let (image, top, left) = self.tiling.place(self.first + index);
        let channels = size.channels;
        let pitch = channels.next_multiple_of(S::LANES);
        let rows = (size.height - top).min(F::OUT);
        let columns = (size.width - left).min(F::OUT);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the products have whole registers, and of the output only rows, columns and channels that are
            // there are touched; no other task has those of this tile.
            unsafe {
                let from = self.products.at(index * pitch + channel);
                let mut half = [[s.zero(); MOST_IN]; MOST_OUT];
                for j in 0..F::IN {
                    let mut m = [s.zero(); MOST_IN];
                    for i in 0..F::IN {
                        m[i] = s.load(from.add((i * F::IN + j) * self.strides[1]));
                    }
                    let m = F::output(s, m);
                    for i in 0..F::OUT {
                        half[i][j] = m[i];
                    }
                }
                for i in 0..F::OUT {
                    let y = F::output(s, half[i]);
                    if i < rows {
                        for j in 0..F::OUT {
                            if j < columns {
                                let pixel = (image * size.height + top + i) * size.width + left + j;
                                let to = self.y.at(pixel * channels + channel);
                                self.epilogue.store(
                                    s,
                                    y[j],
                                    pixel,
                                    channel,
                                    channels - channel,
                                    to,
                                );
                            }
                        }
                    }
                }
                if self.epilogue.is_curved() {
                    for i in 0..rows {
                        let row = (image * size.height + top + i) * size.width + left;
                        for pixel in row..row + columns {
                            let to = self.y.at(pixel * channels + channel);
                            self.epilogue.bend(s, channels - channel, to);
                        }
                    }
                }
            }
        }
    }
}
