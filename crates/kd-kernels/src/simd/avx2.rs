//! AVX2 with FMA: 8 lanes, 16 registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd, instructions};

/// Proof that the processor has AVX2 and FMA: [`detect`](Self::detect) alone makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    /// Runs a kernel that is compiled for these instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx2,fma")]
        fn compiled<K: Kernel>(s: Avx2, kernel: K) {
            kernel.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }

    /// Ones in the first `count` lanes.
    ///
    /// # Safety
    /// `count` is at most 8.
    #[inline(always)]
    unsafe fn mask(self, count: usize) -> __m256i {
        const WINDOW: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
        // SAFETY: the eight values from `8 − count` on are a part of the window, and `self` is proof of the
        // instruction.
        unsafe { _mm256_loadu_si256(WINDOW.as_ptr().add(8 - count).cast()) }
    }
}

impl Simd for Avx2 {
    type V = __m256;
    const LANES: usize = 8;

    #[inline(always)]
    fn splat(self, value: f32) -> __m256 {
        // SAFETY: `self` is proof that the processor has the instruction.
        unsafe { _mm256_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m256 {
        // SAFETY: the caller has eight values there, and `self` is proof of the instruction.
        unsafe { _mm256_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m256) {
        // SAFETY: the caller has room for eight values there, and `self` is proof of the instruction.
        unsafe { _mm256_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m256 {
        // SAFETY: only the `count` lanes of the mask are read, and `self` is proof of the instruction.
        unsafe { _mm256_maskload_ps(from, self.mask(count)) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: __m256, count: usize) {
        // SAFETY: only the `count` lanes of the mask are written, and `self` is proof of the instruction.
        unsafe { _mm256_maskstore_ps(to, self.mask(count), v) }
    }
    instructions! {
        add(a, b) = _mm256_add_ps(a, b);
        sub(a, b) = _mm256_sub_ps(a, b);
        mul(a, b) = _mm256_mul_ps(a, b);
        fma(a, b, c) = _mm256_fmadd_ps(a, b, c);
        nfma(a, b, c) = _mm256_fnmadd_ps(a, b, c);
        max(a, b) = _mm256_max_ps(a, b);
        min(a, b) = _mm256_min_ps(a, b);
        div(a, b) = _mm256_div_ps(a, b);
    }
    #[inline(always)]
    fn power_of_two(self, v: __m256) -> __m256 {
        // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
        unsafe {
            let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(v));
            let one = _mm256_castps_si256(self.splat(1.0));
            _mm256_castsi256_ps(_mm256_add_epi32(exponent, one))
        }
    }
    #[inline(always)]
    fn where_positive(self, gate: __m256, v: __m256) -> __m256 {
        // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
        unsafe {
            let positive = _mm256_cmp_ps::<_CMP_GT_OQ>(gate, _mm256_setzero_ps());
            _mm256_and_ps(positive, v)
        }
    }
}
