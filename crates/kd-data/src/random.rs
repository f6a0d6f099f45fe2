//! Random numbers as a pure function of what they are for.
//!
//! A generator of our own, not a crate's, because a run must be repeatable by a later version of
//! this crate with later versions of its dependencies.

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), keyed by a list of numbers.
pub(crate) struct Stream(u64);

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Stream {
    /// The stream that belongs to `key`; keys that differ anywhere give unrelated streams.
    pub(crate) fn new(key: [u64; 4]) -> Self {
        Self(key.into_iter().fold(GOLDEN, |state, part| {
            mix(state.wrapping_add(GOLDEN) ^ mix(part.wrapping_add(GOLDEN)))
        }))
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Uniform in `0..bound`, without bias (Lemire, TOMACS 2019); 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = bound as u64;
        if bound == 0 {
            return 0;
        }
        loop {
            let product = u128::from(self.draw()) * u128::from(bound);
            // The low half is uneven only below 2^64 mod bound.
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as usize;
            }
        }
    }

    /// Uniform in `[0, 1)`.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.draw() >> 11) as f64 * (-53.0_f64).exp2()
    }

    /// Uniform in `[range[0], range[1])`.
    pub(crate) fn between(&mut self, range: [f64; 2]) -> f64 {
        range[0] + (range[1] - range[0]) * self.unit()
    }

    /// Standard normal (Box and Muller, Annals of Mathematical Statistics 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.log_unit()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// From the beta distribution with both parameters `alpha`, as the share of one of two gamma variates.
    pub(crate) fn beta(&mut self, alpha: f64) -> f64 {
        let (a, b) = (self.log_gamma(alpha), self.log_gamma(alpha));
        1.0 / (1.0 + (b - a).exp())
    }

    /// Logarithm of a gamma variate (Marsaglia and Tsang, TOMS 2000): a small `alpha` gives variates that are
    /// too small for a number.
    fn log_gamma(&mut self, alpha: f64) -> f64 {
        if alpha < 1.0 {
            return self.log_gamma(alpha + 1.0) + self.log_unit() / alpha;
        }
        let d = alpha - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.log_unit() < 0.5 * x * x + d - d * v + d * v.ln() {
                return (d * v).ln();
            }
        }
    }

    /// Logarithm of a number that is uniform in `(0, 1]`.
    fn log_unit(&mut self) -> f64 {
        (1.0 - self.unit()).ln()
    }

    /// Fisher-Yates.
    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_uniform_and_keyed() {
        let mut counts = [0usize; 9];
        for index in 0..90_000 {
            counts[Stream::new([1, 2, 3, index]).below(9)] += 1;
        }
        // Chi-squared with 8 degrees of freedom: 26.1 is exceeded once in 1,000 seeds.
        let chi: f64 = counts.iter().map(|&c| (c as f64 - 1e4).powi(2) / 1e4).sum();
        assert!(chi < 26.1, "{chi}: {counts:?}");
        assert_ne!(
            Stream::new([0, 1, 0, 0]).draw(),
            Stream::new([1, 0, 0, 0]).draw()
        );
        assert_eq!(Stream::new([7, 0, 0, 0]).below(0), 0);
    }

    #[test]
    fn normal_and_beta_variates_have_their_moments() {
        let moments = |draw: &dyn Fn(&mut Stream) -> f64| {
            let mut random = Stream::new([3, 1, 4, 1]);
            let draws: Vec<f64> = (0..40_000).map(|_| draw(&mut random)).collect();
            let mean = draws.iter().sum::<f64>() / 4e4;
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4e4;
            (mean, variance)
        };
        // Five standard errors, of which that of a variance is at most that of a normal one's.
        let near = |(mean, variance): (f64, f64), want: (f64, f64)| {
            assert!((mean - want.0).abs() < 0.025 * want.1.sqrt(), "{mean}");
            assert!((variance - want.1).abs() < 0.036 * want.1, "{variance}");
        };
        near(moments(&|random| random.normal()), (0.0, 1.0));
        for alpha in [0.2, 0.8, 1.0, 4.0] {
            let variance = 1.0 / (4.0 * (2.0 * alpha + 1.0));
            near(moments(&|random| random.beta(alpha)), (0.5, variance));
        }
        let mut random = Stream::new([0; 4]);
        let tiny: Vec<f64> = (0..100).map(|_| random.beta(0.001)).collect();
        assert!(
            tiny.iter().all(|share| (0.0..=1.0).contains(share)),
            "{tiny:?}"
        );
    }

    #[test]
    fn a_shuffle_is_a_permutation_that_never_changes() {
        let mut items: Vec<usize> = (0..8).collect();
        Stream::new([42, 0, 0, 0]).shuffle(&mut items);
        assert_eq!(items, SHUFFLED, "old runs could not be repeated any more");
    }

    const SHUFFLED: [usize; 8] = [4, 5, 3, 0, 7, 1, 6, 2];
}
