//! Which instruction sets there are.

use std::fmt;

use super::amx::Amx;
#[cfg(target_arch = "x86_64")]
use super::avx2::Avx2;
#[cfg(target_arch = "aarch64")]
use super::neon::Neon;
use super::portable::Portable;
#[cfg(target_arch = "x86_64")]
use super::vnni::Vnni;
use super::{Lanes, Work};

/// An instruction set for integers that this processor has: AMX, AVX-512 with VNNI, AVX2, NEON with dot products, or what
/// the compiler makes of plain loops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntegerSet(Set);

/// Each with the proof that the processor has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Set {
    Amx(Amx),
    #[cfg(target_arch = "x86_64")]
    Vnni(Vnni),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
    Portable(Portable),
}

impl fmt::Display for IntegerSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Set::Amx(_) => "amx",
            #[cfg(target_arch = "x86_64")]
            Set::Vnni(_) => "avx512 vnni",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Set::Neon(_) => "neon dot",
            Set::Portable(_) => "portable",
        })
    }
}

impl IntegerSet {
    /// What this processor has, the fastest first.
    pub fn available() -> Vec<Self> {
        let tiles = Amx::detect().map(Set::Amx);
        #[cfg(target_arch = "x86_64")]
        let special = [Vnni::detect().map(Set::Vnni), Avx2::detect().map(Set::Avx2)];
        #[cfg(target_arch = "aarch64")]
        let special = [Neon::detect().map(Set::Neon)];
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let special = [None];
        let special = tiles.into_iter().chain(special.into_iter().flatten());
        special.chain([Set::Portable(Portable)]).map(Self).collect()
    }

    /// What goes with the instruction set that `KD_KERNELS` asks for, or the fastest.
    pub fn chosen() -> Self {
        let asked = std::env::var("KD_KERNELS").unwrap_or_default();
        let wanted: &[&str] = match asked.as_str() {
            "off" | "portable" => &["portable"],
            "avx2" => &["avx2"],
            "avx512" => &["avx512 vnni", "avx2"],
            _ => &[],
        };
        let mut sets = Self::available().into_iter();
        let set = sets.find(|set| wanted.is_empty() || wanted.contains(&&*set.to_string()));
        set.unwrap_or(Self(Set::Portable(Portable)))
    }

    /// The tiles, where it has them.
    pub(in super::super) fn amx(self) -> Option<Amx> {
        match self.0 {
            Set::Amx(amx) => Some(amx),
            _ => None,
        }
    }

    /// Values in a register, whether activations are widened, and what is subtracted from them.
    pub(in super::super) fn form(self) -> (usize, bool, i32) {
        fn of<S: Lanes>(_: S) -> (usize, bool, i32) {
            (S::LANES, S::WIDE, S::SHIFT)
        }
        match self.0 {
            Set::Amx(s) => of(s.vectors()),
            #[cfg(target_arch = "x86_64")]
            Set::Vnni(s) => of(s),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(s) => of(s),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(s) => of(s),
            Set::Portable(s) => of(s),
        }
    }

    /// Runs a piece of work with this instruction set.
    #[inline]
    pub(in super::super) fn run<W: Work>(self, work: W) {
        match self.0 {
            Set::Amx(s) => s.vectors().run(work),
            #[cfg(target_arch = "x86_64")]
            Set::Vnni(s) => s.run(work),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2(s) => s.run(work),
            #[cfg(target_arch = "aarch64")]
            Set::Neon(s) => s.run(work),
            Set::Portable(s) => s.run(work),
        }
    }
}
