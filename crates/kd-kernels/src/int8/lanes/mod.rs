//! Vectors of 32-bit sums, chosen at run time by what the processor has.

mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod set;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub(super) use amx::{Product, Shapes, multiply};
pub use set::IntegerSet;

/// A vector type and its arithmetic. A value of it is proof that the processor has the instructions.
///
/// A word is the four bytes of an activation that one instruction takes: four integers of a byte, or two of 16 bits
/// ([`WIDE`](Self::WIDE)).
pub(super) trait Lanes: Copy + Send + Sync + 'static {
    /// A register of integers.
    type I: Copy;
    /// A register of floats.
    type F: Copy;
    /// Values in a register.
    const LANES: usize;
    /// Whether activations are widened to 16 bits before they are multiplied.
    const WIDE: bool;
    /// What is subtracted from each activation on the way.
    const SHIFT: i32;
    /// Pixels of a tile beside two registers of outputs.
    const WIDTH: usize;

    /// # Safety
    /// Four bytes can be read.
    unsafe fn word(self, from: *const u8) -> Self::I;
    /// # Safety
    /// `4 · LANES` bytes can be read.
    unsafe fn load(self, from: *const u8) -> Self::I;
    /// The bytes from `from` on, one to a lane.
    ///
    /// # Safety
    /// `LANES` bytes can be read.
    unsafe fn load_bytes(self, from: *const u8) -> Self::I;
    /// `sum + Σ (a − SHIFT) · w` over the activations of a word.
    fn dot(self, sum: Self::I, word: Self::I, weights: Self::I) -> Self::I;
    /// `sum + a · b` of factors within 16 bits.
    fn add_product(self, sum: Self::I, a: Self::I, b: Self::I) -> Self::I;
    /// The nearest float.
    fn float(self, v: Self::I) -> Self::F;
    /// The nearest integer, halves to even, of a small number.
    fn round(self, v: Self::F) -> Self::I;
    /// `value` in every lane.
    fn splat(self, value: f32) -> Self::F;
    /// `value` in every lane.
    fn splat_integer(self, value: i32) -> Self::I;
    /// `a + b`.
    fn add_integer(self, a: Self::I, b: Self::I) -> Self::I;
    /// `a + b`.
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a − b`.
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    /// `a · b`.
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    /// The smaller.
    fn min(self, a: Self::F, b: Self::F) -> Self::F;
    /// The larger.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// # Safety
    /// `LANES` floats can be read.
    unsafe fn load_floats(self, from: *const f32) -> Self::F;
    /// Stores the first `count ≤ LANES` values.
    ///
    /// # Safety
    /// `count` floats can be written.
    unsafe fn store_floats(self, to: *mut f32, v: Self::F, count: usize);
    /// Stores the first `count ≤ LANES` values, each from 0 to 255, as bytes.
    ///
    /// # Safety
    /// `count` bytes can be written.
    unsafe fn store_bytes(self, to: *mut u8, v: Self::I, count: usize);
}

/// A piece of work written once for every vector type. Implementations mark `run` as `#[inline(always)]`, so that it is
/// compiled with the instructions of its caller.
pub(super) trait Work {
    /// Does the work with the instructions of `s`.
    fn run<S: Lanes>(self, s: S);
}

/// Methods of [`Lanes`] that are one expression of instructions, which touch registers alone.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! instructions {
    ($($name:ident($($input:ident: $kind:ty),+) -> $output:ty = $body:expr;)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($input: $kind),+) -> $output {
                // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
                unsafe { $body }
            }
        )+
    };
}
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use instructions;
