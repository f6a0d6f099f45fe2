//! Vectors of `f32`, chosen at run time by what the processor has, and what kernels build of them.

pub(crate) mod accumulate;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod blocks;
pub(crate) mod by_channel;
pub(crate) mod chunks;
pub(crate) mod exponential;
mod isa;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod panels;
mod portable;
pub(crate) mod scratch;
pub(crate) mod tile;
pub(crate) mod transpose;

use std::mem::MaybeUninit;

pub use isa::Isa;

/// A vector type and its arithmetic.
///
/// A value of it is proof that the processor has the instructions: only a look at the processor makes one. So
/// arithmetic is safe, and what reads or writes at an address asks no more than that the address is good.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// One register.
    type V: Copy;
    /// Values in a register.
    const LANES: usize;

    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::V;
    /// # Safety
    /// `LANES` values from `from` on can be read. They need no alignment but that of an `f32`.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// # Safety
    /// `LANES` values from `to` on can be written. They need no alignment but that of an `f32`, and no values before.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Loads the first `count < LANES` values; the other lanes are zero.
    ///
    /// # Safety
    /// `count` is below `LANES`, and so many values from `from` on can be read; none behind them is.
    unsafe fn load_part(self, from: *const f32, count: usize) -> Self::V;
    /// Stores the first `count < LANES` values.
    ///
    /// # Safety
    /// `count` is below `LANES`, and so many values from `to` on can be written; none behind them is.
    unsafe fn store_part(self, to: *mut f32, v: Self::V, count: usize);
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c − a · b`.
    fn nfma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; where `b` is NaN, NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The smaller; where `b` is NaN, NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `2^v` for whole numbers from −126 to 127.
    fn power_of_two(self, v: Self::V) -> Self::V;
    /// `v` where `gate > 0`, else zero.
    fn where_positive(self, gate: Self::V, v: Self::V) -> Self::V;

    /// Zero in every lane.
    #[inline(always)]
    fn zero(self) -> Self::V {
        self.splat(0.0)
    }

    /// Loads up to `LANES` of the `left` values that remain; the other lanes are zero.
    ///
    /// # Safety
    /// `left` values, or `LANES` of more, can be read from `from` on.
    #[inline(always)]
    unsafe fn load_up_to(self, from: *const f32, left: usize) -> Self::V {
        // SAFETY: there are `LANES` values, or fewer, which then are all that is read.
        unsafe {
            if left >= Self::LANES {
                self.load(from)
            } else {
                self.load_part(from, left)
            }
        }
    }

    /// Stores up to `LANES` of the `left` values that remain.
    ///
    /// # Safety
    /// `left` values, or `LANES` of more, can be written from `to` on.
    #[inline(always)]
    unsafe fn store_up_to(self, to: *mut f32, v: Self::V, left: usize) {
        // SAFETY: there is room for `LANES` values, or for fewer, which then are all that is written.
        unsafe {
            if left >= Self::LANES {
                self.store(to, v);
            } else {
                self.store_part(to, v, left);
            }
        }
    }

    /// The first values of a slice, up to `LANES`; the other lanes are zero.
    #[inline(always)]
    fn read(self, from: &[f32]) -> Self::V {
        // SAFETY: a slice can be read.
        unsafe { self.load_up_to(from.as_ptr(), from.len()) }
    }

    /// Writes the first values of a slice, up to `LANES`.
    #[inline(always)]
    fn write(self, to: &mut [f32], v: Self::V) {
        // SAFETY: a slice that is borrowed alone can be written.
        unsafe { self.store_up_to(to.as_mut_ptr(), v, to.len()) }
    }

    /// [`write`](Self::write) where there may be no values yet.
    #[inline(always)]
    fn write_new(self, to: &mut [MaybeUninit<f32>], v: Self::V) {
        // SAFETY: a slice that is borrowed alone can be written, and values are what is written.
        unsafe { self.store_up_to(to.as_mut_ptr().cast(), v, to.len()) }
    }
}

/// Methods of [`Simd`] that are one instruction each.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($($name:ident($($input:ident),+) = $instruction:ident($($operand:ident),+);)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($input: Self::V),+) -> Self::V {
                // SAFETY: `self` is proof that the processor has the instruction, which touches registers alone.
                unsafe { $instruction($($operand),+) }
            }
        )+
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use instructions;

/// A piece of work written once for every vector type. Implementations mark `run` as
/// `#[inline(always)]`, so that it is compiled with the instructions of its caller.
pub(crate) trait Kernel {
    /// Does the work with the instructions of `s`.
    fn run<S: Simd>(self, s: S);
}
