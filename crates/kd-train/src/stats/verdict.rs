//! Whether one network is better than another: one rule for reports, tables and studies.
//!
//! Two things make a difference of two test scores uncertain, and each has its own test at 95 %.
//!
//! **Seeds.** Networks of the same seed are compared, which gives differences `d_1 … d_s`. By Student's t the
//! interval of their mean is `mean(d) ± t(s − 1) · std(d) / √s`, `t(f)` the 97.5 % quantile at `f` degrees of
//! freedom: what other seeds would give on the same images. `std(d)` counts as one test image at least. One
//! seed has no such interval. (Student, "The probable error of a mean", Biometrika 1908.)
//!
//! **Images.** Accuracies `a` and `b` on `n` test images are shares. Each gets one image that is right and
//! one that is wrong, `p = (a · n + 1) / (n + 2)`, and their difference is above chance beyond
//! `1.96 · √((p_a(1 − p_a) + p_b(1 − p_b)) / (n + 2))`: what other images would give of the same networks. It
//! takes the two networks as independent. Networks that see the same images mostly agree, so the true chance
//! is smaller, and the test is on the safe side. (Agresti and Caffo, "Simple and effective confidence intervals
//! for proportions and differences of proportions", The American Statistician 2000.)
//!
//! An average precision is no share of images. There, both networks are measured on sets of images that are drawn with
//! replacement, the same sets, and half the distance between the 2.5 % and the 97.5 % quantile of their differences takes the
//! place of that bound. It knows that the networks see the same images. (Efron, "Bootstrap Methods: Another Look at the
//! Jackknife", The Annals of Statistics 1979.)
//!
//! Differences that both tests find are shown. With few seeds Student's t is blind to the largest
//! difference: two seeds of −15 and −23 points have an interval of ± 51. If the images alone find a
//! difference in every seed, and always in the same direction, these networks differ, although the seeds
//! cannot say by how much others would.

use serde::{Deserialize, Serialize};

use super::Spread;
use crate::{Better, Unit};

/// The scores of two networks of the same seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The score of the network that is asked about.
    pub new: f64,
    /// The score of the one that it is compared with.
    pub old: f64,
    /// Half the 95 % interval of their difference over sets of test images that were drawn; none where none were.
    pub over_images: Option<f64>,
}

impl Pair {
    /// Two scores.
    pub fn of(new: f64, old: f64) -> Self {
        Self {
            new,
            old,
            over_images: None,
        }
    }

    /// With the scores of both on the same sets of images; nothing is known where there are none.
    #[must_use]
    pub fn resampled(self, [new, old]: [&[f64]; 2]) -> Self {
        let mut differences: Vec<f64> = new.iter().zip(old).map(|(new, old)| new - old).collect();
        differences.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = share * (differences.len() - 1) as f64;
            let (below, above) = (place.floor() as usize, place.ceil() as usize);
            let part = place - place.floor();
            differences[below] * (1.0 - part) + differences[above] * part
        };
        let known = new.len() == old.len() && !new.is_empty();
        Self {
            over_images: known.then(|| (quantile(0.975) - quantile(0.025)) / 2.0),
            ..self
        }
    }
}

/// What finds a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Seeds and images, or seeds alone where a score is no share of images.
    Shown,
    /// The seeds, and not the images: on other images it may vanish.
    TheseImages,
    /// The images in every seed, and not the seeds: these networks differ, others may by more or less.
    TheseSeeds,
    /// Neither.
    NotShown,
}

/// Whether networks are better than others, and what that rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// How many seeds were compared.
    pub seeds: usize,
    /// Mean difference, in the unit of the score; above 0 is better.
    pub mean: f64,
    /// Half the 95 % interval of the mean over seeds; none for one seed.
    pub seed_interval: Option<f64>,
    /// Half the 95 % interval of a difference over test images; none for a score that is no accuracy and was not measured on
    /// sets of images that were drawn.
    pub image_interval: Option<f64>,
    /// Test images.
    pub images: usize,
    /// What finds a difference.
    pub evidence: Evidence,
    /// The unit of the score.
    pub unit: Unit,
}

impl Verdict {
    /// Compares networks pair by pair; none without a pair. `accuracy` says that the score is the percent of
    /// `images` test images that are right.
    pub fn of(
        pairs: &[Pair],
        better: Better,
        unit: Unit,
        images: usize,
        accuracy: bool,
    ) -> Option<Self> {
        let gains = pairs.iter().map(|pair| better.gain(pair.new, pair.old));
        let gains = Spread::of(&gains.collect::<Vec<_>>());
        let counted = accuracy && images > 0;
        let grain = if counted { 100.0 / images as f64 } else { 0.0 };
        let over_images = |pair: &Pair| match counted {
            true => Some(image_interval(pair, images)),
            false => pair.over_images,
        };
        let beyond = |pair: &Pair| {
            let gain = better.gain(pair.new, pair.old);
            let beyond = over_images(pair).is_some_and(|half| gain.abs() > half);
            beyond && (gain > 0.0) == (gains.mean > 0.0)
        };
        let seed_interval = gains.uncertainty(grain);
        let by_seeds = seed_interval.is_some_and(|half| gains.mean.abs() > half);
        let levels = Pair {
            new: mean(pairs, |pair| pair.new),
            old: mean(pairs, |pair| pair.old),
            // That of a mean is smaller, where it is another at all.
            over_images: pairs
                .iter()
                .map(|pair| pair.over_images)
                .sum::<Option<f64>>()
                .map(|sum| sum / pairs.len() as f64),
        };
        let has_images = over_images(&levels).is_some();
        let evidence = match (by_seeds, has_images) {
            (true, true) if beyond(&levels) => Evidence::Shown,
            (true, true) => Evidence::TheseImages,
            (true, false) => Evidence::Shown,
            (false, true) if pairs.iter().all(beyond) => Evidence::TheseSeeds,
            (false, _) => Evidence::NotShown,
        };
        (!pairs.is_empty()).then(|| Self {
            seeds: pairs.len(),
            mean: gains.mean,
            seed_interval,
            image_interval: over_images(&levels),
            images,
            evidence,
            unit,
        })
    }

    /// Whether the difference is shown, and for the better.
    pub fn gained(&self) -> bool {
        self.evidence == Evidence::Shown && self.mean > 0.0
    }
}

fn mean(pairs: &[Pair], pick: fn(&Pair) -> f64) -> f64 {
    pairs.iter().map(pick).sum::<f64>() / pairs.len() as f64
}

/// Half the 95 % interval of the difference of two accuracies in percent, over test images.
fn image_interval(pair: &Pair, images: usize) -> f64 {
    /// The 97.5 % quantile of the normal distribution.
    const NORMAL: f64 = 1.959_963_984_540_054;
    let n = images as f64;
    let variance = |accuracy: f64| {
        let p = (accuracy / 100.0 * n + 1.0) / (n + 2.0);
        p * (1.0 - p)
    };
    let half = NORMAL * ((variance(pair.new) + variance(pair.old)) / (n + 2.0)).sqrt();
    // The difference of the two shares p is n / (n + 2) of that of the accuracies.
    100.0 * half * (n + 2.0) / n
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Accuracies of networks and of those that they are compared with.
    fn verdict(new: &[f64], old: &[f64], images: usize) -> Verdict {
        let pairs = new.iter().zip(old).map(|(&new, &old)| Pair::of(new, old));
        let pairs: Vec<_> = pairs.collect();
        Verdict::of(&pairs, Better::Higher, Unit::Percent, images, true).unwrap()
    }

    #[test]
    fn intervals_are_those_of_a_calculation_by_hand() {
        // p = 1601 / 2002 and 1219 / 2002: variances 0.160180 and 0.238143, together 0.398323; divided by
        // 2002, its root is 0.0141054, times 1.96 and 2002 / 2000 it is 2.7674 points.
        let half = image_interval(&Pair::of(80.0, 60.9), 2000);
        assert!((half - 2.767_37).abs() < 1e-4, "{half}");
        // Shares of 0 and 1 leave room too.
        let half = image_interval(&Pair::of(100.0, 100.0), 100);
        assert!((half - 2.758_19).abs() < 1e-4, "{half}");
        // Differences 2, 3 and 4: mean 3, standard deviation 1, t = 4.303.
        let found = verdict(&[82.0, 83.0, 84.0], &[80.0, 80.0, 80.0], 100_000);
        let half = found.seed_interval.unwrap();
        assert!((half - 4.303 / 3f64.sqrt()).abs() < 1e-9, "{half}");
        assert_eq!((found.mean, found.seeds), (3.0, 3));
    }

    #[test]
    fn sets_of_images_say_what_chance_explains_of_an_average_precision() {
        let draws: Vec<f64> = (0..=1000).map(|i| 50.0 + 0.004 * f64::from(i)).collect();
        let worse: Vec<f64> = draws.iter().map(|d| 49.0 + (d - 50.0) / 2.0).collect();
        // Differences of 1 to 3 points, evenly.
        let pair = Pair::of(52.0, 50.0).resampled([&draws, &worse]);
        assert!((pair.over_images.unwrap() - 0.95).abs() < 1e-9);
        let verdict =
            |pair| Verdict::of(&[pair], Better::Higher, Unit::Percent, 72, false).unwrap();
        let found = verdict(pair);
        assert_eq!(
            (found.evidence, found.word()),
            (Evidence::TheseSeeds, "higher in this seed")
        );
        assert!((found.image_interval.unwrap() - 0.95).abs() < 1e-9);
        let found = verdict(Pair { new: 50.5, ..pair });
        assert_eq!(found.evidence, Evidence::NotShown);
        assert!(
            found
                .sentence()
                .contains("0.95 points that chance among 72 test images")
        );
        assert_eq!(verdict(Pair::of(52.0, 50.0)).image_interval, None);
    }

    #[test]
    fn both_tests_make_a_difference_shown() {
        let found = verdict(&[85.0, 85.5, 86.0], &[80.0, 81.0, 82.0], 2000);
        assert_eq!((found.evidence, found.word()), (Evidence::Shown, "higher"));
        assert_eq!(
            found.sentence(),
            "This difference is shown: the 95 % interval of the mean over 3 seeds (Student's t) is +3.26 to \
             +5.74 points, which leaves out 0, and it is larger than the 2.31 points that chance among 2,000 \
             test images explains."
        );
    }

    #[test]
    fn seeds_that_agree_on_less_than_the_images_can_tell_say_so() {
        let found = verdict(&[86.7, 86.6, 86.8], &[86.9, 86.8, 86.9], 2000);
        assert_eq!(found.evidence, Evidence::TheseImages);
        assert_eq!(found.word(), "lower on these images");
        assert!(found.sentence().contains("on other images it may vanish"));
    }

    #[test]
    fn a_huge_gap_in_two_seeds_is_not_called_no_difference() {
        let found = verdict(&[65.0, 57.0], &[80.0, 80.2], 2000);
        // The interval of Student's t holds 0 by far.
        assert!(found.seed_interval.unwrap() > 50.0);
        assert_eq!(found.word(), "lower in every seed");
        assert!(found.sentence().starts_with("In each of the 2 seeds"));
        let one = verdict(&[60.9], &[80.0], 2000);
        assert_eq!(
            (one.seed_interval, one.word()),
            (None, "lower in this seed")
        );
        assert!(one.sentence().contains("--seeds 3"), "{}", one.sentence());
    }

    #[test]
    fn what_neither_finds_is_not_shown() {
        // Seeds in both directions, however far apart.
        let found = verdict(&[90.0, 70.0], &[80.0, 80.0], 2000);
        assert_eq!(found.evidence, Evidence::NotShown);
        // Twice the same, on few images: one of them is a step of 3.1 points.
        assert_eq!(
            verdict(&[50.0, 50.0], &[53.1, 53.1], 32).word(),
            "not shown"
        );
        assert_eq!(verdict(&[80.1], &[80.0], 2000).evidence, Evidence::NotShown);
        assert_eq!(verdict(&[f64::NAN], &[80.0], 2000).word(), "not shown");
        let none = Verdict::of(&[], Better::Higher, Unit::Percent, 10, true);
        assert_eq!(none, None);
    }

    #[test]
    fn a_score_that_is_no_accuracy_is_judged_by_seeds() {
        let pairs = [1.0, 1.1, 1.2].map(|new| Pair::of(new, new + 0.5));
        let found = Verdict::of(&pairs, Better::Lower, Unit::Nats, 100, false).unwrap();
        assert_eq!(
            (found.evidence, found.image_interval),
            (Evidence::Shown, None)
        );
        assert!(found.mean > 0.0 && found.sentence().contains("nats"));
        let one = Verdict::of(&pairs[..1], Better::Lower, Unit::Nats, 100, false).unwrap();
        assert_eq!(one.word(), "not shown");
    }
}
