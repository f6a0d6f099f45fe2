//! Which instruction sets there are, and how a kernel is run with one.

use std::fmt;

#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
use super::avx512::Avx512;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
use super::{Kernel, Simd};

/// An instruction set that this processor has: AVX-512 (16 lanes) or AVX2 with fused multiply-add (8 lanes) on
/// x86-64, NEON (4 lanes) on AArch64, or arrays of 4 values that the compiler vectorises for the baseline of any
/// target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Set);

/// Each with the proof that the processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => "neon",
            Set::Portable(_) => "portable",
        })
    }
}

impl Isa {
    /// What every processor has.
    pub(crate) const PORTABLE: Self = Self(Set::Portable(Portable));

    /// What this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        #[cfg(target_arch = "x86_64")]
        let special = [
            Avx512::detect().map(Set::Avx512),
            Avx2::detect().map(Set::Avx2),
        ];
        #[cfg(target_arch = "aarch64")]
        let special = [Neon::detect().map(Set::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let special = [None];
        let special = special.into_iter().flatten().map(Self);
        special.chain([Self::PORTABLE]).collect()
    }

    /// Values in a register.
    pub(crate) fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(_) => Avx512::LANES,
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => Avx2::LANES,
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => Neon::LANES,
            Set::Portable(_) => Portable::LANES,
        }
    }

    /// Runs a kernel with this instruction set.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        #[cfg(test)]
        crate::every_kernel::ran::<K>(self);
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512(s) => s.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(s) => s.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(s) => s.run(kernel),
            Set::Portable(s) => kernel.run(s),
        }
    }
}
