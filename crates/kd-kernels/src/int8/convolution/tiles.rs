//! Sums of all inputs by AMX's tiles: 32 pixels times one or two registers of outputs.

use std::mem::MaybeUninit;

use super::super::IntegerSet;
use super::super::lanes::{Lanes, Product, Shapes, Work, multiply};
use super::pack::Block;
use super::tile::with_count;
use super::{ConvolutionSpec, Rows};

/// Pixels below which a tile is not worth its loading.
const LEAST: usize = 4;
/// Rows of a tile, and words of its rows.
const MOST: usize = 16;

/// How a convolution is cut into tiles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles {
    /// Pixels of a tile, and tiles of a row of the output, the last of which may begin within the one before.
    pixels: usize,
    a_row: usize,
    /// Words of a chunk, and chunks of a run.
    words: usize,
    chunks: usize,
}

impl Tiles {
    /// None where the set has no tiles or they are not worth it. `words` are those of a run.
    pub fn of(set: IntegerSet, spec: &ConvolutionSpec, words: usize) -> Option<Self> {
        set.amx()?;
        let width = spec.output.width;
        let a_row = width.div_ceil(MOST);
        let pixels = width.div_ceil(a_row);
        let chunks = words.div_ceil(MOST);
        let even = words.div_ceil(chunks);
        // What is read beyond a run is multiplied by 0, and there are 64 bytes behind a map.
        let words = match even * chunks - words < MOST {
            true => even,
            false => MOST,
        };
        (pixels >= LEAST && !spec.is_depthwise()).then_some(Self {
            pixels,
            a_row,
            words,
            chunks,
        })
    }

    /// Words of a run with those that are 0.
    pub fn padded(&self) -> usize {
        self.words * self.chunks
    }

    pub fn shapes(&self) -> Shapes {
        Shapes::of(self.pixels, self.words)
    }
}

/// Some rows of the output by tiles, which have the convolution's [shapes](Tiles::shapes).
pub(super) struct TiledRows<'a> {
    pub rows: Rows<'a>,
    pub tiles: &'a Tiles,
}

impl Work for TiledRows<'_> {
    #[inline(always)]
    fn run<S: Lanes>(self, s: S) {
        for block in &self.rows.convolution.weights.blocks {
            // SAFETY: the maps were seen to be those of the convolution, whose sizes fit each other, and rows are its own; no
            // other task has the same ones. The tiles have the convolution's shapes.
            unsafe {
                match block.registers {
                    1 => self.over::<S, 1>(s, block),
                    _ => self.over::<S, 2>(s, block),
                }
            }
        }
    }
}

/// Sums of two tiles of pixels.
#[repr(C, align(64))]
struct Sums([u8; 2 * MOST * 2 * 64]);

impl TiledRows<'_> {
    /// A block of outputs at all pixels.
    ///
    /// # Safety
    /// As in [`run`](Work::run).
    #[inline(always)]
    unsafe fn over<S: Lanes, const V: usize>(&self, s: S, block: &Block) {
        let (convolution, tiles) = (self.rows.convolution, self.tiles);
        let (row, column) = (convolution.input.row(), convolution.input.pitch());
        let (row, column) = (convolution.stride[0] * row, convolution.stride[1] * column);
        let first = self.rows.rows.start * tiles.a_row;
        let end = self.rows.rows.end * tiles.a_row;
        let at = |tile: usize| {
            let across = tile % tiles.a_row * tiles.pixels;
            let last = convolution.output.width - tiles.pixels;
            [tile / tiles.a_row, across.min(last)]
        };
        let corner = self.rows.x.as_ptr();
        let corner = corner.wrapping_add(convolution.corner + block.input);
        let bias = convolution.bias.as_ptr().wrapping_add(4 * block.place);
        let chunk = 4 * tiles.words;
        let mut sums = MaybeUninit::<Sums>::uninit();
        for tile in (first..end).step_by(2) {
            // A last one without a neighbour is computed twice, and kept once.
            let pair = [tile, (tile + 1).min(end - 1)];
            let product = Product {
                bias,
                pixels: pair.map(|tile| {
                    let [y, x] = at(tile);
                    corner.wrapping_add(y * row + x * column)
                }),
                chunks: tiles.chunks,
                weights: chunk * 16 * V,
                sums: sums.as_mut_ptr().cast(),
            };
            let weights = convolution.weights.of(block);
            // SAFETY: offsets are within map, weights and biases, by the caller's promise.
            unsafe {
                multiply::<V>(&product, weights, &convolution.weights.runs, chunk, column);
            }
            for (which, tile) in (tile..end.min(tile + 2)).enumerate() {
                let from = which * MOST * V * 64;
                // SAFETY: the product has stored these sums, and pixels are the output's.
                unsafe {
                    let from = sums.as_ptr().cast::<u8>().add(from);
                    self.finish::<S, V>(s, block, at(tile), from);
                }
            }
        }
    }

    /// # Safety
    /// As [`over`](Self::over), and from `sums` on there are those of a tile of pixels.
    #[inline(always)]
    unsafe fn finish<S: Lanes, const V: usize>(
        &self,
        s: S,
        block: &Block,
        [row, column]: [usize; 2],
        sums: *const u8,
    ) {
        let mut done = 0;
        while done < self.tiles.pixels {
            let count = (self.tiles.pixels - done).min(8);
            with_count!(count, |Q| {
                let mut values = [[s.splat_integer(0); V]; Q];
                for (q, values) in values.iter_mut().enumerate() {
                    for (v, value) in values.iter_mut().enumerate() {
                        // SAFETY: by the caller's promise.
                        *value = unsafe { s.load(sums.add(((done + q) * V + v) * 64)) };
                    }
                }
                // SAFETY: by the caller's promise.
                unsafe { self.rows.finish(s, block, [row, column + done], &values) };
            });
            done += count;
        }
    }
}
