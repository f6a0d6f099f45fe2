//! AVX-512: 16 lanes, 32 registers.

use std::arch::x86_64::*;

use super::{Kernel, Simd, instructions};

/// Proof that the processor has AVX-512 F, VL, DQ and BW, and with them AVX2 and FMA: [`detect`](Self::detect) alone
/// makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub fn detect() -> Option<Self> {
        let found = std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    /// Runs a kernel that is compiled for these instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")]
        fn compiled<K: Kernel>(s: Avx512, kernel: K) {
            kernel.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }
}

/// Ones in the first `count < 16` lanes.
#[inline(always)]
fn mask(count: usize) -> __mmask16 {
    (1u16 << count) - 1
}

impl Simd for Avx512 {
    type V = __m512;
    const LANES: usize = 16;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        // SAFETY: `self` is proof that the processor has the instruction.
        unsafe { _mm512_set1_ps(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        // SAFETY: the caller has sixteen values there, and `self` is proof of the instruction.
        unsafe { _mm512_loadu_ps(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        // SAFETY: the caller has room for sixteen values there, and `self` is proof of the instruction.
        unsafe { _mm512_storeu_ps(to, v) }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> __m512 {
        // SAFETY: only the `count` lanes of the mask are read, and `self` is proof of the instruction.
        unsafe { _mm512_maskz_loadu_ps(mask(count), from) }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: __m512, count: usize) {
        // SAFETY: only the `count` lanes of the mask are written, and `self` is proof of the instruction.
        unsafe { _mm512_mask_storeu_ps(to, mask(count), v) }
    }
    instructions! {
        add(a, b) = _mm512_add_ps(a, b);
        sub(a, b) = _mm512_sub_ps(a, b);
        mul(a, b) = _mm512_mul_ps(a, b);
        fma(a, b, c) = _mm512_fmadd_ps(a, b, c);
        nfma(a, b, c) = _mm512_fnmadd_ps(a, b, c);
        max(a, b) = _mm512_max_ps(a, b);
        min(a, b) = _mm512_min_ps(a, b);
        div(a, b) = _mm512_div_ps(a, b);
    }
    #[inline(always)]
    fn power_of_two(self, v: __m512) -> __m512 {
        // SAFETY: `self` is proof that the processor has the instruction, which touches registers alone.
        unsafe { _mm512_scalef_ps(self.splat(1.0), v) }
    }
    #[inline(always)]
    fn where_positive(self, gate: __m512, v: __m512) -> __m512 {
        // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
        unsafe {
            let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(gate, _mm512_setzero_ps());
            _mm512_maskz_mov_ps(positive, v)
        }
    }
}
