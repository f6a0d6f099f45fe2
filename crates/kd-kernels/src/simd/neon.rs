//! NEON: 4 lanes, 32 registers.

use std::arch::aarch64::*;

use super::{Kernel, Simd, instructions};

/// Proof that the processor has NEON, which every AArch64 processor with an operating system has:
/// [`detect`](Self::detect) alone makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Runs a kernel that is compiled for these instructions.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) {
        #[target_feature(enable = "neon")]
        fn compiled<K: Kernel>(s: Neon, kernel: K) {
            kernel.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }
}

impl Simd for Neon {
    type V = float32x4_t;
    const LANES: usize = 4;

    #[inline(always)]
    fn splat(self, value: f32) -> float32x4_t {
        // SAFETY: `self` is proof that the processor has the instruction.
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller has four values there, and `self` is proof of the instruction.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: float32x4_t) {
        // SAFETY: the caller has room for four values there, and `self` is proof of the instruction.
        unsafe { vst1q_f32(to, v) }
    }
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, count: usize) -> float32x4_t {
        let mut lanes = [0.0f32; 4];
        // SAFETY: the caller has `count` values there, fewer than the array; and `self` is proof of the instruction.
        unsafe {
            std::ptr::copy_nonoverlapping(from, lanes.as_mut_ptr(), count);
            vld1q_f32(lanes.as_ptr())
        }
    }
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: float32x4_t, count: usize) {
        let mut lanes = [0.0f32; 4];
        // SAFETY: the caller has room for `count` values there, fewer than the array has; and `self` is proof of the
        // instruction.
        unsafe {
            vst1q_f32(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    instructions! {
        add(a, b) = vaddq_f32(a, b);
        sub(a, b) = vsubq_f32(a, b);
        mul(a, b) = vmulq_f32(a, b);
        fma(a, b, c) = vfmaq_f32(c, a, b);
        nfma(a, b, c) = vfmsq_f32(c, a, b);
        max(a, b) = vmaxq_f32(a, b);
        min(a, b) = vminq_f32(a, b);
        div(a, b) = vdivq_f32(a, b);
    }
    #[inline(always)]
    fn power_of_two(self, v: float32x4_t) -> float32x4_t {
        // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
        unsafe {
            let exponent = vshlq_n_s32::<23>(vcvtq_s32_f32(v));
            let one = vreinterpretq_s32_f32(self.splat(1.0));
            vreinterpretq_f32_s32(vaddq_s32(exponent, one))
        }
    }
    #[inline(always)]
    fn where_positive(self, gate: float32x4_t, v: float32x4_t) -> float32x4_t {
        // SAFETY: `self` is proof that the processor has the instructions, which touch registers alone.
        unsafe {
            let positive = vcgtzq_f32(gate);
            vreinterpretq_f32_u32(vandq_u32(positive, vreinterpretq_u32_f32(v)))
        }
    }
}
