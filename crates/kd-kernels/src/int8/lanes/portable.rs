//! Arrays of eight values, which any compiler turns into what the target has.

use super::super::finish::round;
use super::{Lanes, Work};

const LANES: usize = 8;

/// Needs no special instruction, and so no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Portable;

impl Portable {
    /// Runs work.
    #[inline]
    pub fn run<W: Work>(self, work: W) {
        work.run(self);
    }
}

#[inline(always)]
fn zip(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

/// The two integers of 16 bits in a word.
#[inline(always)]
fn halves(word: i32) -> [i32; 2] {
    [i32::from(word as i16), word >> 16]
}

impl Lanes for Portable {
    type I = [i32; LANES];
    type F = [f32; LANES];
    const LANES: usize = LANES;
    const WIDE: bool = true;
    const SHIFT: i32 = 0;
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn word(self, from: *const u8) -> Self::I {
        // SAFETY: the caller has four bytes there, and no alignment is asked for.
        [i32::from_le(unsafe { from.cast::<i32>().read_unaligned() }); LANES]
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> Self::I {
        // SAFETY: the caller has so many bytes there, and no alignment is asked for.
        unsafe { from.cast::<Self::I>().read_unaligned() }.map(i32::from_le)
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> Self::I {
        // SAFETY: the caller has so many bytes there.
        unsafe { from.cast::<[u8; LANES]>().read() }.map(i32::from)
    }
    #[inline(always)]
    fn dot(self, sum: Self::I, word: Self::I, weights: Self::I) -> Self::I {
        std::array::from_fn(|i| {
            let ([a, b], [v, w]) = (halves(word[i]), halves(weights[i]));
            sum[i] + a * v + b * w
        })
    }
    #[inline(always)]
    fn add_product(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| sum[i] + a[i] * b[i])
    }
    #[inline(always)]
    fn float(self, v: Self::I) -> Self::F {
        v.map(|v| v as f32)
    }
    #[inline(always)]
    fn round(self, v: Self::F) -> Self::I {
        v.map(round)
    }
    #[inline(always)]
    fn splat(self, value: f32) -> Self::F {
        [value; LANES]
    }
    #[inline(always)]
    fn splat_integer(self, value: i32) -> Self::I {
        [value; LANES]
    }
    #[inline(always)]
    fn add_integer(self, a: Self::I, b: Self::I) -> Self::I {
        std::array::from_fn(|i| a[i] + b[i])
    }
    #[inline(always)]
    fn add(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn min(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, f32::min)
    }
    #[inline(always)]
    fn max(self, a: Self::F, b: Self::F) -> Self::F {
        zip(a, b, f32::max)
    }
    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> Self::F {
        // SAFETY: the caller has so many floats there.
        unsafe { from.cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, v: Self::F, count: usize) {
        // SAFETY: the caller has room for `count` floats there, no more than the array has.
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), to, count) }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: Self::I, count: usize) {
        let bytes = v.map(|v| v as u8);
        // SAFETY: the caller has room for `count` bytes there, no more than the array has.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count) }
    }
}
