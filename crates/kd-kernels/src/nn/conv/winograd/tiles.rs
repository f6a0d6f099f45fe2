//! Where the tiles of a convolution are, and the transformation of their inputs.

use crate::images::{Images, Size};
use crate::nn::conv::filter::{Filter, MOST_IN};
use crate::simd::Simd;

/// The tiles of a convolution.
#[derive(Clone, Copy)]
pub(in crate::nn::conv) struct Tiling {
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

    /// Image, and the first output row and column of a tile.
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

/// Writes `Bᵀ d B` of a tile, all its channels, each point `stride` values after the one before.
///
/// # Safety
/// The tile is one of the tiling's, whose input's size is that of `input`, and there are as many `zeros` as channels.
/// From `to` on, the channels in whole registers can be written for each point, `stride` apart, and no other task has
/// them.
#[inline(always)]
pub(in crate::nn::conv) unsafe fn input_tile<S: Simd, F: Filter>(
    s: S,
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
    // SAFETY: what is read are pixels of the image or the zeros, all of them of as many channels; the caller has the
    // rest.
    unsafe {
        if inside {
            let base = data.add((image + top as usize * size.width + left as usize) * input.pitch);
            let down = size.width * input.pitch;
            let at = |i: usize, j: usize| base.add(i * down + j * input.pitch);
            input_channels::<S, F>(s, size.channels, at, to, stride);
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
            input_channels::<S, F>(s, size.channels, |i, j| table[i * F::IN + j], to, stride);
        }
    }
}

/// # Safety
/// `channels` values can be read from every `at` on, and as many, in whole registers, can be written from `to` on for
/// each point, `stride` apart.
#[inline(always)]
unsafe fn input_channels<S: Simd, F: Filter>(
    s: S,
    channels: usize,
    at: impl Fn(usize, usize) -> *const f32,
    to: *mut f32,
    stride: usize,
) {
    for channel in (0..channels).step_by(S::LANES) {
        let left = channels - channel;
        // SAFETY: the caller has these channels, only `left` of which are read for the last register, and room for
        // whole registers at every point.
        unsafe {
            let mut half = [[s.zero(); MOST_IN]; MOST_IN];
            for j in 0..F::IN {
                let mut d = [s.zero(); MOST_IN];
                for i in 0..F::IN {
                    d[i] = s.load_up_to(at(i, j).add(channel), left);
                }
                let d = F::input(s, d);
                for i in 0..F::IN {
                    half[i][j] = d[i];
                }
            }
            for i in 0..F::IN {
                let row = F::input(s, half[i]);
                for j in 0..F::IN {
                    s.store(to.add((i * F::IN + j) * stride + channel), row[j]);
                }
            }
        }
    }
}
