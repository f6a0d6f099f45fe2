//! The Gaussian error linear unit, `x · Φ(x)`, where `Φ` is the normal distribution.
//!
//! It has no function of its own: [`linear_of_rows`](super::linear_of_rows) runs it on its output, and its gradient
//! before its own.
//!
//! Source: D. Hendrycks, K. Gimpel, "Gaussian Error Linear Units", arXiv 2016; the exact form.

pub(crate) mod kernel {
    use std::mem::MaybeUninit;

    use rayon::prelude::*;

    use crate::simd::exponential::exp_of_negative;
    use crate::simd::{Isa, Kernel, Simd};

    /// Values of a task.
    const VALUES: usize = 1 << 14;
    /// Of the rational approximation 7.1.26 in Abramowitz and Stegun, "Handbook of Mathematical Functions" (1964),
    /// whose error is at most 1.5e-7, for `x` in standard deviations.
    const SLOPE: f32 = 0.231_641_9;
    const SERIES: [f32; 5] = [
        0.127_414_8,
        -0.142_248_37,
        0.710_706_9,
        -0.726_576,
        0.530_702_7,
    ];

    /// `Φ(x)` and `e^(−x²/2)`.
    #[inline(always)]
    fn normal(x: f32) -> (f32, f32) {
        let bell = exp_of_negative(-0.5 * x * x);
        let t = 1.0 / (1.0 + SLOPE * x.abs());
        let [a, b, c, d, e] = SERIES;
        let tail = bell * t * (a + t * (b + t * (c + t * (d + t * e))));
        (if x > 0.0 { 1.0 - tail } else { tail }, bell)
    }

    /// The unit.
    #[inline(always)]
    pub(crate) fn gelu(x: f32) -> f32 {
        x * normal(x).0
    }

    /// Its derivative, `Φ(x) + x · φ(x)`.
    #[inline(always)]
    fn slope(x: f32) -> f32 {
        /// `1 / sqrt(2π)`.
        const DENSITY: f32 = 0.398_942_3;
        let (below, bell) = normal(x);
        below + x * bell * DENSITY
    }

    /// The gradient of `x`, given that of the unit's output, written over `dx`.
    ///
    /// # Panics
    /// When they are not of one length.
    pub(crate) fn grad(isa: Isa, x: &[f32], dy: &[f32], dx: &mut [MaybeUninit<f32>]) {
        assert_eq!([dy.len(), dx.len()], [x.len(); 2], "one gradient a value");
        let tasks = x.par_chunks(VALUES).zip(dy.par_chunks(VALUES));
        let tasks = tasks.zip(dx.par_chunks_mut(VALUES));
        tasks.for_each(|((x, dy), dx)| isa.run(Slopes { x, dy, dx }));
    }

    struct Slopes<'a> {
        x: &'a [f32],
        dy: &'a [f32],
        dx: &'a mut [MaybeUninit<f32>],
    }

    impl Kernel for Slopes<'_> {
        #[inline(always)]
        fn run<S: Simd>(self, _: S) {
            for (dx, (x, dy)) in self.dx.iter_mut().zip(self.x.iter().zip(self.dy)) {
                dx.write(dy * slope(*x));
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Of the error function of `x / sqrt(2)`, by its series.
        fn exact(x: f64) -> f64 {
            let (mut term, mut sum) = (x, x);
            for k in 1..200 {
                let k = f64::from(k);
                term *= -x * x / (2.0 * k);
                sum += term / (2.0 * k + 1.0);
            }
            0.5 + sum / (2.0 * std::f64::consts::PI).sqrt()
        }

        #[test]
        fn it_is_the_normal_distribution() {
            for i in -5000..=5000 {
                let x = i as f32 * 1e-3;
                let (below, bell) = normal(x);
                let (want, wide) = (exact(f64::from(x)), f64::from(x));
                assert!((f64::from(below) - want).abs() < 3e-7, "{x}: {below}");
                assert!((f64::from(bell) - (-0.5 * wide * wide).exp()).abs() < 3e-7);
            }
            assert_eq!([gelu(0.0), gelu(30.0), gelu(-30.0)], [0.0, 30.0, 0.0]);
            assert!(gelu(f32::NAN).is_nan() && slope(f32::NAN).is_nan());
        }
    }
}
