//! What happens to sums.

use super::super::Data;
use super::super::lanes::Lanes;
use super::Rows;
use super::pack::Block;

/// Where tasks write, each to rows of its own.
#[derive(Clone, Copy)]
pub(super) enum Out {
    Bytes(*mut u8),
    Floats(*mut f32),
}

// SAFETY: it is only an address; tasks have rows of their own.
unsafe impl Send for Out {}
// SAFETY: a shared one gives no more than a copy, which may be sent.
unsafe impl Sync for Out {}

impl Out {
    pub fn of(data: &mut Data) -> Self {
        match data {
            Data::Bytes(bytes) => Self::Bytes(bytes.as_mut_ptr()),
            Data::Floats(floats) => Self::Floats(floats.as_mut_ptr()),
        }
    }
}

/// What is added to sums, and where values go.
#[derive(Clone, Copy)]
pub(super) struct Ending<'a> {
    pub residual: Option<&'a Data>,
    pub y: Out,
}

/// What a residual is.
mod residual {
    pub const NONE: u8 = 0;
    pub const BYTES: u8 = 1;
    pub const FLOATS: u8 = 2;
}

/// First values of the pixels, as addresses of bytes, and how many values a pixel of the residual has.
#[derive(Clone, Copy)]
struct Places {
    residual: *const u8,
    pitch: usize,
    y: *mut u8,
}

impl Rows<'_> {
    /// Finishes and stores the sums of a block at pixels side by side, from `row` and `column` on.
    ///
    /// # Safety
    /// The pixels are those of the maps, and no other task has them.
    #[inline(always)]
    pub(super) unsafe fn finish<S: Lanes, const V: usize, const Q: usize>(
        &self,
        s: S,
        block: &Block,
        [row, column]: [usize; 2],
        sums: &[[S::I; V]; Q],
    ) {
        use residual::{BYTES, FLOATS, NONE};
        let output = self.convolution.output.at(row, column) + block.output;
        let (y, floats) = match self.ending.y {
            Out::Bytes(y) => (y.wrapping_add(output), false),
            Out::Floats(y) => (y.wrapping_add(output).cast(), true),
        };
        let map = self.convolution.residual.unwrap_or(self.convolution.output);
        let from = map.at(row, column) + block.output;
        let (residual, kind) = match self.ending.residual {
            None => (std::ptr::null(), NONE),
            Some(Data::Bytes(bytes)) => (bytes.as_ptr().wrapping_add(from), BYTES),
            Some(Data::Floats(floats)) => (floats.as_ptr().wrapping_add(from).cast(), FLOATS),
        };
        let places = Places {
            residual,
            pitch: map.pitch(),
            y,
        };
        // SAFETY: by the caller's promise, and addresses are of what they are said to be.
        unsafe {
            match (kind, floats) {
                (NONE, false) => self.each::<S, V, Q, NONE, false>(s, block, sums, places),
                (NONE, true) => self.each::<S, V, Q, NONE, true>(s, block, sums, places),
                (BYTES, false) => self.each::<S, V, Q, BYTES, false>(s, block, sums, places),
                (BYTES, true) => self.each::<S, V, Q, BYTES, true>(s, block, sums, places),
                (_, false) => self.each::<S, V, Q, FLOATS, false>(s, block, sums, places),
                (_, true) => self.each::<S, V, Q, FLOATS, true>(s, block, sums, places),
            }
        }
    }

    /// # Safety
    /// As [`finish`](Self::finish); the residual is of the kind `R`, and the output is floats or bytes.
    #[inline(always)]
    unsafe fn each<S: Lanes, const V: usize, const Q: usize, const R: u8, const FLOATS: bool>(
        &self,
        s: S,
        block: &Block,
        sums: &[[S::I; V]; Q],
        places: Places,
    ) {
        let convolution = self.convolution;
        let [low, high] = convolution.finish.bounds.map(|bound| s.splat(bound));
        let zero = s.splat_integer(convolution.finish.zero);
        let (nothing, factor) = match convolution.term {
            Some(term) => (s.splat(term.zero), s.splat(term.factor)),
            None => (s.splat(0.0), s.splat(0.0)),
        };
        let pitch = convolution.output.pitch();
        // SAFETY: by the caller's promise; behind a map there are as many values as a register has.
        unsafe {
            for v in 0..V {
                let first = v * S::LANES;
                let count = (block.outputs - first).min(S::LANES);
                let factors = convolution.factors.as_ptr().cast::<f32>();
                let factors = s.load_floats(factors.add(block.place + first));
                for q in 0..Q {
                    let mut value = s.mul(s.float(sums[q][v]), factors);
                    if R != residual::NONE {
                        let at = q * places.pitch + first;
                        let other = match R {
                            residual::BYTES => s.float(s.load_bytes(places.residual.add(at))),
                            _ => s.load_floats(places.residual.cast::<f32>().add(at)),
                        };
                        value = s.add(value, s.mul(s.sub(other, nothing), factor));
                    }
                    let value = s.min(s.max(value, low), high);
                    let to = q * pitch + first;
                    match FLOATS {
                        true => s.store_floats(places.y.cast::<f32>().add(to), value, count),
                        false => {
                            let levels = s.add_integer(s.round(value), zero);
                            s.store_bytes(places.y.add(to), levels, count);
                        }
                    }
                }
            }
        }
    }
}
