//! Convolutions of each channel by itself.

use super::super::lanes::Lanes;
use super::Rows;
use super::pack::Block;
use super::tile::with_count;

/// The widest tile of any set, and two pixels beside it.
const MOST: usize = 10;

/// # Safety
/// The maps are those of the convolution, and no other task has these rows.
#[inline(always)]
pub(super) unsafe fn rows<S: Lanes>(s: S, work: &Rows) {
    let width = work.convolution.output.width;
    for row in work.rows.clone() {
        for block in &work.convolution.weights.blocks {
            let mut column = 0;
            while column < width {
                let left = width - column;
                let count = left.div_ceil(left.div_ceil(S::WIDTH));
                // SAFETY: by the caller's promise, and pixels are those of the output.
                unsafe {
                    with_count!(count, |Q| tile::<S, Q>(s, work, block, [row, column]));
                }
                column += count;
            }
        }
    }
}

/// A register of channels of `Q` pixels.
///
/// # Safety
/// As [`rows`], and the pixels are those of the output.
#[inline(always)]
unsafe fn tile<S: Lanes, const Q: usize>(
    s: S,
    work: &Rows,
    block: &Block,
    [row, column]: [usize; 2],
) {
    if Q > S::WIDTH {
        return;
    }
    let convolution = work.convolution;
    let (packed, [down, across]) = (&convolution.weights, convolution.stride);
    let (pitch, register) = (convolution.input.pitch(), 4 * S::LANES);
    // SAFETY: offsets are within map, weights and biases, by the caller's promise; behind a map there are as many bytes as
    // a register has lanes.
    unsafe {
        let mut sums = [s.load(convolution.bias.as_ptr().add(4 * block.place)); Q];
        let place = row * down * convolution.input.row() + column * across * pitch + block.input;
        let x = work.x.as_ptr().add(convolution.corner + place);
        let mut weights = packed.of(block);
        if packed.slides {
            for runs in packed.runs.chunks_exact(3) {
                let mut pixels = [s.splat_integer(0); MOST];
                for q in 0..Q + 2 {
                    pixels[q] = s.load_bytes(x.add(runs[0] + q * pitch));
                }
                for tap in 0..3 {
                    let factors = s.load(weights);
                    for q in 0..Q {
                        sums[q] = s.add_product(sums[q], pixels[q + tap], factors);
                    }
                    weights = weights.add(register);
                }
            }
        } else {
            for run in &packed.runs {
                let factors = s.load(weights);
                for q in 0..Q {
                    let pixel = s.load_bytes(x.add(run + q * across * pitch));
                    sums[q] = s.add_product(sums[q], pixel, factors);
                }
                weights = weights.add(register);
            }
        }
        work.finish(s, block, [row, column], &sums.map(|sum| [sum]));
    }
}
