//! AVX2: 8 lanes, 16 registers. Activations and weights are widened to 16 bits, whose products `vpmaddwd` adds exactly;
//! `vpmaddubsw` would saturate.

use std::arch::x86_64::*;

use super::{Lanes, Work, instructions};

/// Proof that the processor has AVX2: [`detect`](Self::detect) alone makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        is_x86_feature_detected!("avx2").then_some(Self(()))
    }

    /// Runs work that is compiled for these instructions.
    #[inline]
    pub fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx2")]
        fn compiled<W: Work>(s: Avx2, work: W) {
            work.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, work) }
    }
}

impl Lanes for Avx2 {
    type I = __m256i;
    type F = __m256;
    const LANES: usize = 8;
    const WIDE: bool = true;
    const SHIFT: i32 = 0;
    const WIDTH: usize = 4;

    #[inline(always)]
    unsafe fn word(self, from: *const u8) -> __m256i {
        // SAFETY: the caller has four bytes there, and `self` is proof of the instruction.
        unsafe { _mm256_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m256i {
        // SAFETY: the caller has 32 bytes there, and `self` is proof of the instruction.
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m256i {
        // SAFETY: the caller has eight bytes there, and `self` is proof of the instructions.
        unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> __m256 {
        // SAFETY: the caller has eight floats there, and `self` is proof of the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, v: __m256, count: usize) {
        // SAFETY: the caller has room for `count` floats there, and `self` is proof of the instruction.
        unsafe {
            if count == Self::LANES {
                return _mm256_storeu_ps(to, v);
            }
            let mut lanes = [0.0f32; 8];
            _mm256_storeu_ps(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: __m256i, count: usize) {
        // SAFETY: the caller has room for `count` bytes there, and `self` is proof of the instructions.
        unsafe {
            let (low, high) = (_mm256_castsi256_si128(v), _mm256_extracti128_si256::<1>(v));
            let words = _mm_packs_epi32(low, high);
            let bytes = _mm_packus_epi16(words, words);
            if count == Self::LANES {
                return _mm_storel_epi64(to.cast(), bytes);
            }
            let mut lanes = [0u8; 8];
            _mm_storel_epi64(lanes.as_mut_ptr().cast(), bytes);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    instructions! {
        dot(sum: __m256i, word: __m256i, weights: __m256i) -> __m256i =
            _mm256_add_epi32(sum, _mm256_madd_epi16(word, weights));
        // The upper half of each lane of `a` is 0, whatever that of `b` is.
        add_product(sum: __m256i, a: __m256i, b: __m256i) -> __m256i =
            _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
        float(v: __m256i) -> __m256 = _mm256_cvtepi32_ps(v);
        round(v: __m256) -> __m256i = _mm256_cvtps_epi32(v);
        splat(value: f32) -> __m256 = _mm256_set1_ps(value);
        splat_integer(value: i32) -> __m256i = _mm256_set1_epi32(value);
        add_integer(a: __m256i, b: __m256i) -> __m256i = _mm256_add_epi32(a, b);
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
    }
}
