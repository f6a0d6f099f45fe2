//! Winograd's minimal filtering of three taps along one axis; two axes are two passes.

use crate::simd::Simd;

/// Inputs of the largest tile along an axis.
pub(super) const MOST_IN: usize = 6;
/// Outputs of the largest tile along an axis.
pub(super) const MOST_OUT: usize = 4;

/// A filtering `F(m, 3)`. Arrays are as long as the largest filtering needs.
pub(crate) trait Filter: Copy + Send + Sync + 'static {
    /// Outputs of a tile along an axis, `m`.
    const OUT: usize;
    /// Inputs of a tile along an axis, and products.
    const IN: usize = Self::OUT + 2;
    /// Products of a tile of two axes.
    const POINTS: usize = Self::IN * Self::IN;

    /// `G g`.
    fn taps(g: [f64; 3]) -> [f64; MOST_IN];

    /// `Bᵀ d`.
    fn input<S: Simd>(s: S, d: [S::V; MOST_IN]) -> [S::V; MOST_IN];

    /// `Aᵀ m`.
    fn output<S: Simd>(s: S, m: [S::V; MOST_IN]) -> [S::V; MOST_OUT];
}

/// `F(2×2, 3×3)`: 2.25 times fewer multiplications than the direct sum and, having fewer terms to
/// add up, a smaller rounding error.
#[derive(Clone, Copy)]
pub(crate) struct Two;

impl Filter for Two {
    const OUT: usize = 2;

    #[inline(always)]
    fn taps([a, b, c]: [f64; 3]) -> [f64; MOST_IN] {
        let (even, odd) = ((a + c) / 2.0, b / 2.0);
        [a, even + odd, even - odd, c, 0.0, 0.0]
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; MOST_IN]) -> [S::V; MOST_IN] {
        [
            s.sub(d[0], d[2]),
            s.add(d[1], d[2]),
            s.sub(d[2], d[1]),
            s.sub(d[3], d[1]),
            s.zero(),
            s.zero(),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; MOST_IN]) -> [S::V; MOST_OUT] {
        [
            s.add(m[0], s.add(m[1], m[2])),
            s.add(s.sub(m[1], m[2]), m[3]),
            s.zero(),
            s.zero(),
        ]
    }
}

/// `F(4×4, 3×3)`: four times fewer multiplications than the direct sum, two and a half times its
/// rounding error.
///
/// The interpolation points are 0, ±5/8, ±3/2 and ∞ instead of the usual 0, ±1, ±2 and ∞. Their
/// powers are exact in `f32` too, and the rounding error is less than half as large (a search over
/// pairs of dyadic fractions; Barabasz et al., ACM TOMS 2020, on why points matter).
#[derive(Clone, Copy)]
pub(crate) struct Four;

/// The nearer pair of points is ±`NEAR`.
const NEAR: f32 = 0.625;
/// The farther pair of points is ±`FAR`.
const FAR: f32 = 1.5;

/// The products of a point's distances to all other finite points: of 0, of ±[`NEAR`] and of
/// ±[`FAR`].
#[inline(always)]
fn scales() -> [f64; 3] {
    let (near, far) = (f64::from(NEAR * NEAR), f64::from(FAR * FAR));
    [
        near * far,
        2.0 * near * (near - far),
        2.0 * far * (far - near),
    ]
}

impl Filter for Four {
    const OUT: usize = 4;

    #[inline(always)]
    fn taps([a, b, c]: [f64; 3]) -> [f64; MOST_IN] {
        let [scale, near_scale, far_scale] = scales().map(f64::recip);
        let at = |point: f64, scale: f64| {
            let (even, odd) = ((a + c * point * point) * scale, b * (point * scale));
            (even + odd, even - odd)
        };
        let (near, minus_near) = at(f64::from(NEAR), near_scale);
        let (far, minus_far) = at(f64::from(FAR), far_scale);
        [a * scale, near, minus_near, far, minus_far, c]
    }

    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; MOST_IN]) -> [S::V; MOST_IN] {
        let (near, far) = (s.splat(NEAR), s.splat(FAR));
        let (near2, far2) = (s.splat(NEAR * NEAR), s.splat(FAR * FAR));
        let both = s.splat(NEAR * NEAR + FAR * FAR);
        let product = s.splat(NEAR * NEAR * FAR * FAR);
        let (n_even, n_odd) = (s.nfma(far2, d[2], d[4]), s.nfma(far2, d[1], d[3]));
        let (f_even, f_odd) = (s.nfma(near2, d[2], d[4]), s.nfma(near2, d[1], d[3]));
        [
            s.fma(product, d[0], s.nfma(both, d[2], d[4])),
            s.fma(near, n_odd, n_even),
            s.nfma(near, n_odd, n_even),
            s.fma(far, f_odd, f_even),
            s.nfma(far, f_odd, f_even),
            s.fma(product, d[1], s.nfma(both, d[3], d[5])),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; MOST_IN]) -> [S::V; MOST_OUT] {
        let (near, far) = (s.splat(NEAR), s.splat(FAR));
        let (near2, far2) = (s.splat(NEAR * NEAR), s.splat(FAR * FAR));
        let (near3, far3) = (s.splat(NEAR * NEAR * NEAR), s.splat(FAR * FAR * FAR));
        let (n_even, n_odd) = (s.add(m[1], m[2]), s.sub(m[1], m[2]));
        let (f_even, f_odd) = (s.add(m[3], m[4]), s.sub(m[3], m[4]));
        [
            s.add(m[0], s.add(n_even, f_even)),
            s.fma(far, f_odd, s.mul(near, n_odd)),
            s.fma(far2, f_even, s.mul(near2, n_even)),
            s.fma(far3, f_odd, s.fma(near3, n_odd, m[5])),
        ]
    }
}

impl Four {
    /// `A d`, for the gradient of the weight.
    #[inline(always)]
    pub(super) fn grad<S: Simd>(s: S, d: [S::V; MOST_OUT]) -> [S::V; MOST_IN] {
        let (near, far) = (s.splat(NEAR), s.splat(FAR));
        let (near2, far2) = (s.splat(NEAR * NEAR), s.splat(FAR * FAR));
        let n_even = s.fma(near2, d[2], d[0]);
        let n_odd = s.fma(near2, d[3], d[1]);
        let f_even = s.fma(far2, d[2], d[0]);
        let f_odd = s.fma(far2, d[3], d[1]);
        [
            d[0],
            s.fma(near, n_odd, n_even),
            s.nfma(near, n_odd, n_even),
            s.fma(far, f_odd, f_even),
            s.nfma(far, f_odd, f_even),
            d[3],
        ]
    }

    /// `Gᵀ s`, for the gradient of the weight.
    #[inline(always)]
    pub(super) fn sums(s: [f64; MOST_IN]) -> [f64; 3] {
        let (near, far) = (f64::from(NEAR), f64::from(FAR));
        let [scale, near_scale, far_scale] = scales();
        let (n_even, n_odd) = ((s[1] + s[2]) / near_scale, (s[1] - s[2]) / near_scale);
        let (f_even, f_odd) = ((s[3] + s[4]) / far_scale, (s[3] - s[4]) / far_scale);
        [
            s[0] / scale + n_even + f_even,
            near * n_odd + far * f_odd,
            near * near * n_even + far * far * f_even + s[5],
        ]
    }
}
