//! Vectors of `f32`, chosen at run time by what the processor has, and what kernels build of them.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod chunks;
pub(crate) mod exponential;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
pub(crate) mod scratch;
pub(crate) mod tile;
pub(crate) mod transpose;

use std::fmt;

/// A vector type and its arithmetic.
///
/// # Safety
/// Every function may only be called where the processor has the instructions: inside
/// [`Kernel::run`], started by [`Isa::run`]. Pointers must be valid for the lanes touched.
pub(crate) trait Simd: Copy + Send + Sync + 'static {
    /// One register.
    type V: Copy;
    /// Values in a register.
    const LANES: usize;

    /// `value` in every lane.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn splat(value: f32) -> Self::V;
    /// # Safety
    /// The processor has the instructions, and `LANES` values from `from` on can be read. They need no alignment but
    /// that of an `f32`.
    unsafe fn load(from: *const f32) -> Self::V;
    /// # Safety
    /// The processor has the instructions, and `LANES` values from `to` on can be written. They need no alignment but
    /// that of an `f32`, and no values before.
    unsafe fn store(to: *mut f32, v: Self::V);
    /// Loads the first `count < LANES` values; the other lanes are zero.
    ///
    /// # Safety
    /// The processor has the instructions, `count` is below `LANES`, and so many values from `from` on can be read;
    /// none behind them is.
    unsafe fn load_part(from: *const f32, count: usize) -> Self::V;
    /// Stores the first `count < LANES` values.
    ///
    /// # Safety
    /// The processor has the instructions, `count` is below `LANES`, and so many values from `to` on can be written;
    /// none behind them is.
    unsafe fn store_part(to: *mut f32, v: Self::V, count: usize);
    /// `a + b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a − b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c − a · b`.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn nfma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The larger; where `b` is NaN, NaN.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `v` where `gate > 0`, else zero.
    ///
    /// # Safety
    /// The processor has the instructions.
    unsafe fn where_positive(gate: Self::V, v: Self::V) -> Self::V;

    /// Zero in every lane.
    ///
    /// # Safety
    /// The processor has the instructions.
    #[inline(always)]
    unsafe fn zero() -> Self::V {
        // SAFETY: the caller's promise.
        unsafe { Self::splat(0.0) }
    }

    /// Loads up to `LANES` of the `left` values that remain.
    ///
    /// # Safety
    /// The processor has the instructions, and `left` values, or `LANES` of more, can be read from `from` on.
    #[inline(always)]
    unsafe fn load_up_to(from: *const f32, left: usize) -> Self::V {
        // SAFETY: the caller's promise.
        unsafe {
            if left >= Self::LANES {
                Self::load(from)
            } else {
                Self::load_part(from, left)
            }
        }
    }

    /// Stores up to `LANES` of the `left` values that remain.
    ///
    /// # Safety
    /// The processor has the instructions, and `left` values, or `LANES` of more, can be written from `to` on.
    #[inline(always)]
    unsafe fn store_up_to(to: *mut f32, v: Self::V, left: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if left >= Self::LANES {
                Self::store(to, v);
            } else {
                Self::store_part(to, v, left);
            }
        }
    }
}

/// `$call` with the constant `$rows`: how many rows of two registers of sums the registers of a processor hold,
/// beside what they are summed from, given the lanes of one.
macro_rules! with_tile_rows {
    ($lanes:expr, |$rows:ident| $call:expr) => {
        match $lanes {
            16 => {
                const $rows: usize = 8;
                $call
            }
            8 => {
                const $rows: usize = 6;
                $call
            }
            _ => {
                const $rows: usize = 4;
                $call
            }
        }
    };
}
pub(crate) use with_tile_rows;

/// A piece of work written once for every vector type. Implementations mark `run` as
/// `#[inline(always)]`, so that it is compiled with the instructions of its caller.
pub(crate) trait Kernel {
    /// Does the work.
    ///
    /// # Safety
    /// The processor has the instructions of `S`.
    unsafe fn run<S: Simd>(self);
}

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isa {
    /// 16 lanes, x86-64.
    Avx512,
    /// 8 lanes and fused multiply-add, x86-64.
    Avx2,
    /// 4 lanes, AArch64.
    Neon,
    /// Arrays that the compiler vectorises for the baseline of the target.
    Portable,
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avx512 => "avx512",
            Self::Avx2 => "avx2",
            Self::Neon => "neon",
            Self::Portable => "portable",
        })
    }
}

impl Isa {
    /// What this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut, reason = "other targets have the portable form only")]
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            // What `avx512::run` is compiled for.
            if std::arch::is_x86_feature_detected!("avx512f")
                && std::arch::is_x86_feature_detected!("avx512vl")
                && std::arch::is_x86_feature_detected!("avx512dq")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                found.push(Self::Avx512);
            }
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("fma")
            {
                found.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        found.push(Self::Neon);
        found.push(Self::Portable);
        found
    }

    /// Values in a register.
    pub(crate) fn lanes(self) -> usize {
        match self {
            Self::Avx512 => 16,
            Self::Avx2 => 8,
            Self::Neon => 4,
            Self::Portable => portable::LANES,
        }
    }

    /// Runs a kernel with this instruction set, which must be among [`Isa::available`].
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(test)]
        crate::every_kernel::ran::<K>(self);
        match self {
            // SAFETY: an `Isa` comes from `available`, which asked the processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => unsafe { avx512::run(kernel) },
            // SAFETY: an `Isa` comes from `available`, which asked the processor.
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: every AArch64 processor has NEON.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => unsafe { neon::run(kernel) },
            // SAFETY: needs no special instruction.
            _ => unsafe { kernel.run::<portable::Portable>() },
        }
    }
}
