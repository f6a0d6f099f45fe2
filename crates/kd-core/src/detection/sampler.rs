//! Which boxes of an image count in a loss.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::Matched;

/// Draws boxes of an image, at most `count`, of which at most the share `positive_share` are positive; background
/// fills what positives leave.
///
/// Source: S. Ren, K. He, R. Girshick, J. Sun, "Faster R-CNN: Towards Real-Time Object Detection with Region Proposal
/// Networks", NeurIPS 2015.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Boxes of an image.
    pub count: usize,
    /// Largest share of positives.
    pub positive_share: f64,
}

/// The boxes of an image that count, by their indices in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// Those that are to find an object, with the object.
    pub positives: Vec<(usize, usize)>,
    /// Those that are to say "background".
    pub negatives: Vec<usize>,
}

impl Sampled {
    /// All boxes that are not left out.
    pub fn all(matches: &[Matched]) -> Self {
        let mut sampled = Self::default();
        for (i, matched) in matches.iter().enumerate() {
            match matched {
                Matched::Object(object) => sampled.positives.push((i, *object)),
                Matched::Background => sampled.negatives.push(i),
                Matched::Between => {}
            }
        }
        sampled
    }

    /// The number of boxes.
    pub fn len(&self) -> usize {
        self.positives.len() + self.negatives.len()
    }

    /// Whether there is no box.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Sampler {
    /// Of region proposals.
    pub const RPN: Self = Self {
        count: 256,
        positive_share: 0.5,
    };

    /// Of the box head of Faster R-CNN.
    pub const ROI: Self = Self {
        count: 512,
        positive_share: 0.25,
    };

    /// As [`Sampler::sample`], with draws that follow from a seed.
    pub fn seeded(&self, matches: &[Matched], seed: u64) -> Sampled {
        self.sample(matches, &mut StdRng::seed_from_u64(seed))
    }

    /// Draws from the boxes of an image.
    pub fn sample(&self, matches: &[Matched], draws: &mut impl Rng) -> Sampled {
        let mut sampled = Sampled::all(matches);
        let most = (self.count as f64 * self.positive_share) as usize;
        keep(&mut sampled.positives, most, draws);
        let left = self.count - sampled.positives.len();
        keep(&mut sampled.negatives, left, draws);
        sampled
    }
}

/// A random choice of `count` items, in their order.
fn keep<T: Ord + Copy>(items: &mut Vec<T>, count: usize, draws: &mut impl Rng) {
    if items.len() > count {
        items.shuffle(draws);
        items.truncate(count);
        items.sort_unstable();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positives_have_their_share_and_background_fills_the_rest() {
        let mut matches = vec![Matched::Object(3); 40];
        matches.extend([Matched::Between; 5]);
        matches.extend([Matched::Background; 400]);
        let sampler = Sampler {
            count: 64,
            positive_share: 0.25,
        };
        let draw = |seed| sampler.seeded(&matches, seed);
        let first = draw(1);
        assert_eq!((first.positives.len(), first.negatives.len()), (16, 48));
        assert!(
            first
                .positives
                .iter()
                .all(|(i, object)| *i < 40 && *object == 3)
        );
        assert!(first.negatives.iter().all(|i| *i >= 45));
        assert_eq!(first, draw(1));
        assert_ne!(first, draw(2));
        let few = sampler.seeded(&matches[30..], 1);
        assert_eq!((few.positives.len(), few.negatives.len()), (10, 54));
    }
}
