//! NEON with dot products: 4 lanes, 32 registers. `sdot` multiplies bytes with a sign, so 128 is subtracted from activations.

use std::arch::aarch64::*;

use super::{Lanes, Work, instructions};

/// Proof that the processor has NEON and its dot products: [`detect`](Self::detect) alone makes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Neon(());

impl Neon {
    pub fn detect() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("dotprod").then_some(Self(()))
    }

    /// Runs work that is compiled for these instructions.
    #[inline]
    pub fn run<W: Work>(self, work: W) {
        #[target_feature(enable = "neon,dotprod")]
        fn compiled<W: Work>(s: Neon, work: W) {
            work.run(s);
        }
        // SAFETY: `self` is proof that the processor has the instructions.
        unsafe { compiled(self, work) }
    }
}

impl Lanes for Neon {
    type I = int32x4_t;
    type F = float32x4_t;
    const LANES: usize = 4;
    const WIDE: bool = false;
    const SHIFT: i32 = 128;
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn word(self, from: *const u8) -> int32x4_t {
        // SAFETY: the caller has four bytes there, and `self` is proof of the instruction.
        unsafe { vdupq_n_s32(from.cast::<i32>().read_unaligned() ^ 0x8080_8080_u32 as i32) }
    }
    #[inline(always)]
    unsafe fn load(self, from: *const u8) -> int32x4_t {
        // SAFETY: the caller has 16 bytes there, and `self` is proof of the instruction.
        unsafe { vreinterpretq_s32_u8(vld1q_u8(from)) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, from: *const u8) -> int32x4_t {
        // SAFETY: the caller has four bytes there, and `self` is proof of the instructions.
        unsafe {
            let bytes = vcreate_u8(u64::from(from.cast::<u32>().read_unaligned()));
            vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(bytes))))
        }
    }
    #[inline(always)]
    fn dot(self, sum: int32x4_t, word: int32x4_t, weights: int32x4_t) -> int32x4_t {
        let mut sum = sum;
        // SAFETY: `self` is proof that the processor has the instruction, which touches these registers alone.
        unsafe {
            std::arch::asm!(
                ".arch_extension dotprod",
                "sdot {sum:v}.4s, {word:v}.16b, {weights:v}.16b",
                sum = inout(vreg) sum,
                word = in(vreg) word,
                weights = in(vreg) weights,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        sum
    }
    #[inline(always)]
    unsafe fn load_floats(self, from: *const f32) -> float32x4_t {
        // SAFETY: the caller has four floats there, and `self` is proof of the instruction.
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store_floats(self, to: *mut f32, v: float32x4_t, count: usize) {
        // SAFETY: the caller has room for `count` floats there, and `self` is proof of the instruction.
        unsafe {
            let mut lanes = [0.0f32; 4];
            vst1q_f32(lanes.as_mut_ptr(), v);
            std::ptr::copy_nonoverlapping(lanes.as_ptr(), to, count);
        }
    }
    #[inline(always)]
    unsafe fn store_bytes(self, to: *mut u8, v: int32x4_t, count: usize) {
        // SAFETY: the caller has room for `count` bytes there, and `self` is proof of the instruction.
        unsafe {
            let mut lanes = [0i32; 4];
            vst1q_s32(lanes.as_mut_ptr(), v);
            let bytes = lanes.map(|lane| lane as u8);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, count);
        }
    }
    instructions! {
        add_product(sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t = vmlaq_s32(sum, a, b);
        float(v: int32x4_t) -> float32x4_t = vcvtq_f32_s32(v);
        round(v: float32x4_t) -> int32x4_t = vcvtnq_s32_f32(v);
        splat(value: f32) -> float32x4_t = vdupq_n_f32(value);
        splat_integer(value: i32) -> int32x4_t = vdupq_n_s32(value);
        add_integer(a: int32x4_t, b: int32x4_t) -> int32x4_t = vaddq_s32(a, b);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vminq_f32(a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmaxq_f32(a, b);
    }
}
