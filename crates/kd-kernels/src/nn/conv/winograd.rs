//! 3×3 convolutions of stride 1 with fewer multiplications (Lavin and Gray, CVPR 2016).
//!
//! `F(m×m, 3×3)`: a tile of `(m+2)²` inputs gives `m²` outputs as `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`. Some
//! tiles are transformed together, then multiplied by the transformed weights as `(m+2)²` small
//! matrix products, then transformed back; all of it stays in the cache.

mod tiles;
mod weights;

use std::marker::PhantomData;

use rayon::prelude::*;

use super::filter::{Filter, Four, MOST_IN, MOST_OUT};
use super::pack::{Block, Packed};
use super::{Epilogue, Geometry};
use crate::images::{Images, OutPtr};
use crate::simd::scratch;
use crate::simd::{Isa, Kernel, Simd, with_tile_rows};

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
    y: OutPtr,
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
    dx: OutPtr,
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
    y: OutPtr,
) {
    epilogue.check(tiling.output);
    y.check(tiling.output.len());
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
                values: OutPtr::new(values),
                products: OutPtr::new(products),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

/// The tiles of a task.
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
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `values` and `products` hold all tiles of the task, and one register more.
        unsafe {
            let pitch = self.tiling.input.channels.next_multiple_of(S::LANES);
            for index in 0..self.count {
                input_tile::<S, F>(
                    self.tiling,
                    &self.input,
                    self.zeros,
                    self.first + index,
                    self.values.at(index * pitch),
                    self.strides[0],
                );
            }
            with_tile_rows!(S::LANES, |R| self.multiply::<S, R, { 2 * R }>());
            for index in 0..self.count {
                self.output_tile::<S>(index);
            }
        }
    }
}

impl<F: Filter> Group<'_, F> {
    /// The matrix product of each point.
    ///
    /// # Safety
    /// The processor has the instructions of `S`, for which the weights were packed. `values` has `POINTS` times the first of the
    /// strides, `products` the second, and both belong to this task.
    /// The values of `count` tiles were written.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P2: usize, const P1: usize>(&self) {
        for point in 0..F::POINTS {
            for block in self.weights.blocks() {
                // SAFETY: the caller's promise; these are the points and the blocks of the weights.
                unsafe {
                    match block.registers {
                        2 => self.block::<S, P2, 2>(point, &block),
                        _ => self.block::<S, P1, 1>(point, &block),
                    }
                }
            }
        }
    }

    /// # Safety
    /// As [`multiply`](Self::multiply); the point is below `POINTS`, and the block is one of the weights', of `Z` registers.
    #[inline(always)]
    unsafe fn block<S: Simd, const P: usize, const Z: usize>(&self, point: usize, block: &Block) {
        let inputs = self.tiling.input.channels;
        let [from, to] = [inputs, self.tiling.output.channels]
            .map(|channels| channels.next_multiple_of(S::LANES));
        let mut first = 0;
        while first < self.count {
            // SAFETY: the caller's promise; the last tile of products repeats its last row and does not store it.
            unsafe {
                let start = block.start + point * inputs * Z * S::LANES;
                let mut weights = self.weights.data.as_ptr().add(start);
                let values = self.values.at(point * self.strides[0]);
                let mut x = [values; P];
                for p in 0..P {
                    x[p] = values.add((first + p).min(self.count - 1) * from);
                }
                let mut sums = [[S::zero(); Z]; P];
                for input in 0..inputs {
                    let mut w = [S::zero(); Z];
                    for z in 0..Z {
                        w[z] = S::load(weights.add(z * S::LANES));
                    }
                    weights = weights.add(Z * S::LANES);
                    for p in 0..P {
                        let value = S::splat(*x[p].add(input));
                        for z in 0..Z {
                            sums[p][z] = S::fma(value, w[z], sums[p][z]);
                        }
                    }
                }
                let products = self.products.at(point * self.strides[1] + block.first);
                for p in 0..P {
                    if first + p < self.count {
                        for z in 0..Z {
                            S::store(products.add((first + p) * to + z * S::LANES), sums[p][z]);
                        }
                    }
                }
            }
            first += P;
        }
    }

    /// Writes `Aᵀ m A` of a tile, as far as it lies in the output.
    ///
    /// # Safety
    /// As [`multiply`](Self::multiply), which wrote the products; `index` is below `count`. `y`, bias and residual have
    /// every pixel and channel of the output, and no other task writes those of the tile.
    #[inline(always)]
    unsafe fn output_tile<S: Simd>(&self, index: usize) {
        let size = self.tiling.output;
        let (image, top, left) = self.tiling.place(self.first + index);
        let channels = size.channels;
        let pitch = channels.next_multiple_of(S::LANES);
        let rows = (size.height - top).min(F::OUT);
        let columns = (size.width - left).min(F::OUT);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: the caller's promise; the products have whole registers, and of the output only rows, columns
            // and channels that are there are touched.
            unsafe {
                let from = self.products.at(index * pitch + channel);
                let mut half = [[S::zero(); MOST_IN]; MOST_OUT];
                for j in 0..F::IN {
                    let mut m = [S::zero(); MOST_IN];
                    for i in 0..F::IN {
                        m[i] = S::load(from.add((i * F::IN + j) * self.strides[1]));
                    }
                    let m = F::output::<S>(m);
                    for i in 0..F::OUT {
                        half[i][j] = m[i];
                    }
                }
                for i in 0..F::OUT {
                    let y = F::output::<S>(half[i]);
                    if i < rows {
                        for j in 0..F::OUT {
                            if j < columns {
                                let pixel = (image * size.height + top + i) * size.width + left + j;
                                let to = self.y.at(pixel * channels + channel);
                                self.epilogue.store::<S>(
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
            }
        }
    }
}
