//! Sums of all inputs: a tile of pixels times one or two registers of outputs.

use super::super::lanes::Lanes;
use super::Rows;
use super::pack::Block;
use crate::simd::scratch;

/// Runs `$call` with `$count` as a constant, from 1 to 8.
macro_rules! with_count {
    ($count:expr, |$q:ident| $call:expr) => {
        match $count {
            1 => {
                const $q: usize = 1;
                $call
            }
            2 => {
                const $q: usize = 2;
                $call
            }
            3 => {
                const $q: usize = 3;
                $call
            }
            4 => {
                const $q: usize = 4;
                $call
            }
            5 => {
                const $q: usize = 5;
                $call
            }
            6 => {
                const $q: usize = 6;
                $call
            }
            7 => {
                const $q: usize = 7;
                $call
            }
            _ => {
                const $q: usize = 8;
                $call
            }
        }
    };
}
pub(super) use with_count;

/// Where activations are, and how far apart, in bytes.
#[derive(Clone, Copy)]
struct Source {
    /// What the first output's first weight reads.
    corner: *const u8,
    /// From a row of the output, and a column of it, to the next.
    row: usize,
    column: usize,
    /// Bytes of an activation.
    each: usize,
}

/// # Safety
/// The maps are those of the convolution, and no other task has these rows.
#[inline(always)]
pub(super) unsafe fn rows<S: Lanes>(s: S, work: &Rows) {
    let convolution = work.convolution;
    let (row, [down, across]) = (convolution.input.row(), convolution.stride);
    let mut lent;
    let mut source = Source {
        corner: work.x.as_ptr().wrapping_add(convolution.corner),
        row: down * row,
        column: across * convolution.input.pitch(),
        each: 1,
    };
    if S::WIDE {
        // From the first byte that is read to the last, and what a word reads beyond it.
        let first = convolution.corner + work.rows.start * down * row;
        let last = first + ((work.rows.len() - 1) * down + convolution.reach) * row;
        let bytes = &work.x[first..(last + 4).min(work.x.len())];
        lent = scratch::lend(bytes.len().div_ceil(2) + 2);
        let wide = lent.aligned();
        // SAFETY: any bytes are integers of 16 bits, and there is room for as many.
        let wide =
            unsafe { std::slice::from_raw_parts_mut(wide.as_mut_ptr().cast::<i16>(), bytes.len()) };
        for (wide, byte) in wide.iter_mut().zip(bytes) {
            *wide = i16::from(*byte);
        }
        source = Source {
            corner: wide
                .as_ptr()
                .cast::<u8>()
                .wrapping_sub(2 * work.rows.start * source.row),
            row: 2 * source.row,
            column: 2 * source.column,
            each: 2,
        };
    }
    for block in &convolution.weights.blocks {
        // SAFETY: by the caller's promise.
        unsafe {
            match block.registers {
                1 => over::<S, 1>(s, work, source, block),
                _ => over::<S, 2>(s, work, source, block),
            }
        }
    }
}

/// A block of outputs at all pixels.
///
/// # Safety
/// As [`rows`].
#[inline(always)]
unsafe fn over<S: Lanes, const V: usize>(s: S, work: &Rows, source: Source, block: &Block) {
    let width = work.convolution.output.width;
    let mut row = work.rows.start;
    while row < work.rows.end {
        let pair = work.rows.end - row > 1 && (V == 1 || 2 * width <= S::WIDTH);
        let mut column = 0;
        while column < width {
            let left = width - column;
            let count = left.div_ceil(left.div_ceil(S::WIDTH));
            let at = [row, column];
            // SAFETY: by the caller's promise, and pixels are those of the output.
            unsafe {
                match pair {
                    true => {
                        with_count!(count, |Q| tile::<S, V, 2, Q>(s, work, source, block, at))
                    }
                    false => {
                        with_count!(count, |Q| tile::<S, V, 1, Q>(s, work, source, block, at))
                    }
                }
            }
            column += count;
        }
        row += 1 + usize::from(pair);
    }
}

/// `R` rows of `Q` pixels times `V` registers of outputs.
///
/// # Safety
/// As [`rows`], and the pixels are those of the output.
#[inline(always)]
unsafe fn tile<S: Lanes, const V: usize, const R: usize, const Q: usize>(
    s: S,
    work: &Rows,
    source: Source,
    block: &Block,
    [row, column]: [usize; 2],
) {
    // A tile that no set has.
    if Q > S::WIDTH || (V * R == 4 && 2 * Q > S::WIDTH) {
        return;
    }
    let mut done = [[[s.splat_integer(0); V]; Q]; R];
    // SAFETY: by the caller's promise.
    unsafe {
        sum::<S, V, R, Q>(s, work, source, block, [row, column], &mut done);
        for (r, done) in done.iter().enumerate() {
            work.finish(s, block, [row + r, column], done);
        }
    }
}

/// The sums of a tile. They are another array than what is finished, whose places are no constants, so they stay in
/// registers.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn sum<S: Lanes, const V: usize, const R: usize, const Q: usize>(
    s: S,
    work: &Rows,
    source: Source,
    block: &Block,
    [row, column]: [usize; 2],
    done: &mut [[[S::I; V]; Q]; R],
) {
    let (convolution, register) = (work.convolution, 4 * S::LANES);
    let packed = &convolution.weights;
    let mut sums = [[[s.splat_integer(0); V]; Q]; R];
    // SAFETY: offsets are within map, weights and biases, by the caller's promise.
    unsafe {
        for v in 0..V {
            let place = 4 * block.place + v * register;
            let start = s.load(convolution.bias.as_ptr().add(place));
            for r in 0..R {
                for q in 0..Q {
                    sums[r][q][v] = start;
                }
            }
        }
        let x = source
            .corner
            .wrapping_add(row * source.row + column * source.column + block.input * source.each);
        let mut weights = packed.of(block);
        for run in &packed.runs {
            let mut x = x.wrapping_add(run * source.each);
            for _ in 0..packed.words {
                let mut factors = [s.splat_integer(0); V];
                for v in 0..V {
                    factors[v] = s.load(weights.add(v * register));
                }
                for r in 0..R {
                    for q in 0..Q {
                        let word = s.word(x.add(r * source.row + q * source.column));
                        for v in 0..V {
                            sums[r][q][v] = s.dot(sums[r][q][v], word, factors[v]);
                        }
                    }
                }
                weights = weights.add(V * register);
                x = x.add(4);
            }
        }
    }
    for r in 0..R {
        for q in 0..Q {
            for v in 0..V {
                done[r][q][v] = sums[r][q][v];
            }
        }
    }
}
