//! `e^x`, in operations that compilers turn into vector instructions, and of registers.

use super::Simd;

/// Added to a number below 2²², it leaves no room for a fraction.
const WHOLE: f32 = 12_582_912.0;
/// `ln 2` in two parts, of which the first has so few digits that its multiples are exact.
const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];

/// `e^x` for `x ≤ 0`, to the last two bits; 0 below −87, where `f32` has few digits left.
#[inline(always)]
pub(crate) fn exp_of_negative(x: f32) -> f32 {
    let shifted = x * std::f32::consts::LOG2_E + WHOLE;
    let power = shifted - WHOLE;
    // |rest| ≤ ln 2 / 2, where the next term of the series is below 6e-9.
    let rest = (x - power * LN_2[0]) - power * LN_2[1];
    let mut series = 1.0 / 5040.0;
    for factor in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        series = series * rest + 1.0 / factor;
    }
    // The power of two, whose number stands in the last bits of `shifted`, as an exponent.
    let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { series * scale }
}

/// `e^x` of each lane, to the last two bits, where `x` counts as −87 below that and as 87 above; of NaN, NaN. It is
/// tested as a part of the sigmoid.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::V) -> S::V {
    let x = s.min(s.splat(87.0), s.max(s.splat(-87.0), x));
    let whole = s.splat(WHOLE);
    let power = s.sub(s.fma(x, s.splat(std::f32::consts::LOG2_E), whole), whole);
    let rest = s.nfma(power, s.splat(LN_2[0]), x);
    let rest = s.nfma(power, s.splat(LN_2[1]), rest);
    let mut series = s.splat(1.0 / 5040.0);
    for factor in [720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        series = s.fma(series, rest, s.splat(1.0 / factor));
    }
    s.mul(series, s.power_of_two(power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_exponential() {
        for i in 0..=870_000 {
            let x = -1e-4 * i as f32;
            let want = f64::from(x).exp();
            let off = (f64::from(exp_of_negative(x)) - want).abs() / want;
            assert!(off < 2.4e-7, "{x}: {off:e}");
        }
        assert_eq!(exp_of_negative(0.0), 1.0);
        assert_eq!(exp_of_negative(-1e9), 0.0);
        assert_eq!(exp_of_negative(f32::NEG_INFINITY), 0.0);
        assert!(exp_of_negative(f32::NAN).is_nan());
    }
}
