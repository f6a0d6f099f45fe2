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
    fn a_shuffle_is_a_permutation_that_never_changes() {
        let mut items: Vec<usize> = (0..8).collect();
        Stream::new([42, 0, 0, 0]).shuffle(&mut items);
        assert_eq!(items, SHUFFLED, "old runs could not be repeated any more");
    }

    const SHUFFLED: [usize; 8] = [4, 5, 3, 0, 7, 1, 6, 2];
}
