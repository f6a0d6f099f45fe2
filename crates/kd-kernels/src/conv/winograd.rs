//! 3×3 convolutions of stride 1 with fewer multiplications (Lavin and Gray, CVPR 2016).
//!
//! `F(m×m, 3×3)`: a tile of `(m+2)²` inputs gives `m²` outputs as `Aᵀ[(G g Gᵀ) ⊙ (Bᵀ d B)]A`. Some
//! tiles are transformed together, then multiplied by the transformed weights as `(m+2)²` small
//! matrix products, then transformed back; all of it stays in the cache.

use std::marker::PhantomData;

use rayon::prelude::*;

use super::filter::{Filter, Four, MOST_IN, MOST_OUT};
use super::pack::{Block, Packed};
use super::{Epilogue, Geometry};
use crate::images::{Images, Size, Target};
use crate::scratch;
use crate::simd::{Isa, Kernel, Simd};

/// Values that the transformed tiles of a task may take: about half of a second-level cache.
const WORK: usize = 150_000;

/// The tiles of a convolution.
#[derive(Clone, Copy)]
pub(super) struct Tiling {
    pub input: Size,
    pub output: Size,
    pub padding: [usize; 2],
    /// Output pixels of a tile along an axis.
    tile: usize,
    rows: usize,
    columns: usize,
}

impl Tiling {
    pub fn new<F: Filter>(input: Size, output: Size, padding: [usize; 2]) -> Self {
        let tile = F::OUT;
        Self {
            input,
            output,
            padding,
            tile,
            rows: output.height.div_ceil(tile),
            columns: output.width.div_ceil(tile),
        }
    }

    pub fn count(&self) -> usize {
        self.input.batch * self.rows * self.columns
    }

    /// Picture, and the first output row and column of a tile.
    #[inline(always)]
    pub fn place(&self, tile: usize) -> (usize, usize, usize) {
        let (rest, column) = (tile / self.columns, tile % self.columns);
        (
            rest / self.rows,
            rest % self.rows * self.tile,
            column * self.tile,
        )
    }
}

/// `y = x ∗ w`, written over `y`, which is dense.
pub(crate) fn forward<F: Filter>(
    isa: Isa,
    geometry: &Geometry,
    input: Images,
    weight: &[f32],
    epilogue: Epilogue,
    y: Target,
) {
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
    dx: Target,
) {
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
    y: Target,
) {
    epilogue.check(tiling.output);
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
                values: Target(values.as_mut_ptr()),
                products: Target(products.as_mut_ptr()),
                epilogue: &epilogue,
                y,
            });
        });
    });
}

/// `G g Gᵀ` of every pair of channels, each point packed by itself.
fn transform_weights<F: Filter>(
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
const COLUMNS: usize = super::pack::WIDE * 16;

impl<F: Filter, T: Fn(usize, usize) -> [f32; 9]> Kernel for Weights<'_, F, T> {
    /// In double precision, and over arrays of columns that the compiler can vectorise.
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
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
    values: Target,
    products: Target,
    epilogue: &'a Epilogue<'a>,
    y: Target,
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
            match S::LANES {
                16 => self.multiply::<S, 8, 16>(),
                8 => self.multiply::<S, 6, 12>(),
                _ => self.multiply::<S, 4, 8>(),
            }
            for index in 0..self.count {
                self.output_tile::<S>(index);
            }
        }
    }
}

/// Writes `Bᵀ d B` of a tile, all its channels, each point `stride` values after the one before.
///
/// # Safety
/// The tile is one of the tiling's, `to` holds its points.
#[inline(always)]
pub(super) unsafe fn input_tile<S: Simd, F: Filter>(
    tiling: &Tiling,
    input: &Images,
    zeros: &[f32],
    tile: usize,
    to: *mut f32,
    stride: usize,
) {
    let size = tiling.input;
    let (image, row, column) = tiling.place(tile);
    let top = row as isize - tiling.padding[0] as isize;
    let left = column as isize - tiling.padding[1] as isize;
    let inside = top >= 0
        && left >= 0
        && top as usize + F::IN <= size.height
        && left as usize + F::IN <= size.width;
    let image = image * size.area();
    let data = input.data.as_ptr();
    // SAFETY: addresses of pixels of the picture, or of the zeros.
    unsafe {
        if inside {
            let base = data.add((image + top as usize * size.width + left as usize) * input.pitch);
            let down = size.width * input.pitch;
            let at = |i: usize, j: usize| base.add(i * down + j * input.pitch);
            input_channels::<S, F>(size.channels, at, to, stride);
        } else {
            let mut table = [zeros.as_ptr(); MOST_IN * MOST_IN];
            for i in 0..F::IN {
                for j in 0..F::IN {
                    let (y, x) = (top + i as isize, left + j as isize);
                    if (0..size.height as isize).contains(&y)
                        && (0..size.width as isize).contains(&x)
                    {
                        let pixel = image + y as usize * size.width + x as usize;
                        table[i * F::IN + j] = data.add(pixel * input.pitch);
                    }
                }
            }
            input_channels::<S, F>(size.channels, |i, j| table[i * F::IN + j], to, stride);
        }
    }
}

#[inline(always)]
unsafe fn input_channels<S: Simd, F: Filter>(
    channels: usize,
    at: impl Fn(usize, usize) -> *const f32,
    to: *mut f32,
    stride: usize,
) {
    for channel in (0..channels).step_by(S::LANES) {
        let left = channels - channel;
        // SAFETY: as in `input_tile`.
        unsafe {
            let mut half = [[S::zero(); MOST_IN]; MOST_IN];
            for j in 0..F::IN {
                let mut d = [S::zero(); MOST_IN];
                for i in 0..F::IN {
                    d[i] = S::load_up_to(at(i, j).add(channel), left);
                }
                let d = F::input::<S>(d);
                for i in 0..F::IN {
                    half[i][j] = d[i];
                }
            }
            for i in 0..F::IN {
                let row = F::input::<S>(half[i]);
                for j in 0..F::IN {
                    S::store(to.add((i * F::IN + j) * stride + channel), row[j]);
                }
            }
        }
    }
}

impl<F: Filter> Group<'_, F> {
    /// The matrix product of each point.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P2: usize, const P1: usize>(&self) {
        for point in 0..F::POINTS {
            for block in self.weights.blocks() {
                // SAFETY: as in `run`.
                unsafe {
                    match block.registers {
                        2 => self.block::<S, P2, 2>(point, &block),
                        _ => self.block::<S, P1, 1>(point, &block),
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn block<S: Simd, const P: usize, const Z: usize>(&self, point: usize, block: &Block) {
        let inputs = self.tiling.input.channels;
        let [from, to] = [inputs, self.tiling.output.channels]
            .map(|channels| channels.next_multiple_of(S::LANES));
        let mut first = 0;
        while first < self.count {
            // SAFETY: as in `run`; the last tile of products repeats its last row.
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
    #[inline(always)]
    unsafe fn output_tile<S: Simd>(&self, index: usize) {
        let size = self.tiling.output;
        let (image, top, left) = self.tiling.place(self.first + index);
        let channels = size.channels;
        let pitch = channels.next_multiple_of(S::LANES);
        let rows = (size.height - top).min(F::OUT);
        let columns = (size.width - left).min(F::OUT);
        for channel in (0..channels).step_by(S::LANES) {
            // SAFETY: as in `run`.
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
