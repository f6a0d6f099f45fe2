//! AVX-512 with VNNI: 16 lanes, 32 registers. `vpdpbusd` adds four products of bytes without and with a sign to a sum of 32
//! bits, and does not saturate on the way.

use std::arch::x86_64::*;

use super::{Lanes, Work, instructions};

/// Proof that the processor has AVX-512 F, VL, BW and VNNI: [`detect`](Self::detect) alone makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vnni(());

impl Vnni {
    pub fn detect() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vnni")
            && is_x86_feature_detected!("avx2");
        found.then_some(Self(()))
    }

    /// Runs work that is compiled for these instructions.
    #[inline]
    pub fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512vnni,avx2")]
        fn compiled<W: Work>(s: Vnni, work: W) {
            work.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, work) }
    }
}

/// Ones in the first `count ≤ 16` lanes.
#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    ((1u32 << count) - 1) as u16
}

impl Lanes for Vnni {
    type I = __m512i;
    type F = __m512;
    const LANES: usize = 16;
    const WIDE: bool = false;
    const SHIFT: i32 = 0;
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn word(self, from: *const u8) -> __m512i {
        // SAFETY: the caller has four bytes there, and `self` is proof of the instruction.
        unsafe { _mm512_set1_epi32(from.cast::<i32>().read_unaligned()) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> __m512i {
        // SAFETY: the caller has 64 bytes there, and `self` is proof of the instruction.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> __m512i {
        // SAFETY: the caller has sixteen bytes there, and `self` is proof of the instructions.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())) }
    }
    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> __m512 {
        // SAFETY: the caller has sixteen floats there, and `self` is proof of the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, v: __m512, count: usize) {
        // SAFETY: only the `count` lanes of the mask are written, and `self` is proof of the instructions.
        unsafe {
            match count == Self::LANES {
                true => _mm512_storeu_ps(to, v),
                false => _mm512_mask_storeu_ps(to, mask(count), v),
            }
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: __m512i, count: usize) {
        // SAFETY: only the `count` lanes of the mask are written, and `self` is proof of the instructions.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(v);
            match count == Self::LANES {
                true => _mm_storeu_si128(to.cast(), bytes),
                false => _mm_mask_storeu_epi8(to.cast(), mask(count), bytes),
            }
        }
    }
    instructions! {
        dot(sum: __m512i, word: __m512i, weights: __m512i) -> __m512i =
            _mm512_dpbusd_epi32(sum, word, weights);
        // The upper half of each lane of `a` is 0, whatever that of `b` is.
        add_product(sum: __m512i, a: __m512i, b: __m512i) -> __m512i =
            _mm512_dpwssd_epi32(sum, a, b);
        float(v: __m512i) -> __m512 = _mm512_cvtepi32_ps(v);
        round(v: __m512) -> __m512i = _mm512_cvtps_epi32(v);
        splat(value: f32) -> __m512 = _mm512_set1_ps(value);
        splat_integer(value: i32) -> __m512i = _mm512_set1_epi32(value);
        add_integer(a: __m512i, b: __m512i) -> __m512i = _mm512_add_epi32(a, b);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
    }
}
