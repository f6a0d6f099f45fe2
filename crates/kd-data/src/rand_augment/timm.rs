//! timm's form of RandAugment: another list than torchvision's, and a strength that varies.

use serde::{Deserialize, Serialize};

use super::affine::Pixels;
use super::timm_operation::{MOST, TimmOperation};
use super::{MOST_OPERATIONS, Sampling};
use crate::random::Stream;
use crate::{Bitmap, Error};

/// Draws `num_ops` of the fifteen operations of [`TimmOperation::ALL`], and applies each with `probability` at a
/// strength that is normal around `magnitude` (timm's `rand-m9-mstd0.5-inc1`, as DeiT trains with; E. Cubuk, B. Zoph,
/// J. Shlens, Q. Le, "RandAugment", NeurIPS 2020; H. Touvron et al., "Training Data-Efficient Image Transformers &
/// Distillation Through Attention", ICML 2021). What comes in from outside an image has the mean colour.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimmRandAugment {
    /// Operations that are drawn for an image, timm's `n`. Default: 2.
    pub num_ops: usize,
    /// Mean strength, from 0 to 10, timm's `m`. Default: 9.
    pub magnitude: f64,
    /// Standard deviation of the strength, which is then cut off to 0 to 10, timm's `mstd`. Default: 0.5.
    pub magnitude_std: f64,
    /// Whether every operation does more at a greater strength, timm's `inc`. Default: true.
    pub increasing: bool,
    /// Share of the operations drawn that are applied, timm's `p`. Default: 0.5.
    pub probability: f64,
    /// What a pixel between pixels is, where an image is sheared, moved or rotated. Default: `random`.
    pub interpolation: TimmSampling,
}

/// What a pixel between pixels is, of timm's choice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimmSampling {
    /// `Bilinear` or `Bicubic`, either half of the time.
    #[default]
    Random,
    /// Linear in both directions between four pixels.
    Bilinear,
    /// Cubic in both directions between sixteen pixels.
    Bicubic,
}

impl Default for TimmRandAugment {
    fn default() -> Self {
        Self {
            num_ops: 2,
            magnitude: 9.0,
            magnitude_std: 0.5,
            increasing: true,
            probability: 0.5,
            interpolation: TimmSampling::Random,
        }
    }
}

impl TimmRandAugment {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let wrong = |key, value: f64, expected| Err(Error::config(key, value, expected));
        if !(1..=MOST_OPERATIONS).contains(&self.num_ops) {
            let expected = format!(
                "1 to {MOST_OPERATIONS} operations are wanted; leave the table out for none"
            );
            let key = "augment.timm_rand_augment.num_ops";
            return Err(Error::config(key, self.num_ops, expected));
        }
        if !(0.0..=MOST).contains(&self.magnitude) {
            let key = "augment.timm_rand_augment.magnitude";
            return wrong(key, self.magnitude, "a strength from 0 to 10 is wanted");
        }
        if !(0.0..=100.0).contains(&self.magnitude_std) {
            let key = "augment.timm_rand_augment.magnitude_std";
            return wrong(key, self.magnitude_std, "0 to 100 is wanted");
        }
        if !(0.0..=1.0).contains(&self.probability) {
            let key = "augment.timm_rand_augment.probability";
            return wrong(key, self.probability, "a share from 0 to 1 is wanted");
        }
        Ok(())
    }

    /// Means of channels in units of 255 are `mean`.
    pub(crate) fn apply(&self, mut image: Bitmap, mean: &[f32], random: &mut Stream) -> Bitmap {
        let colour = |mean: &f32| (255.0 * f64::from(*mean)).round_ties_even() as u8;
        let outside: Vec<u8> = mean.iter().map(colour).collect();
        for _ in 0..self.num_ops {
            if let Some(drawn) = self.draw(random) {
                let pixels = Pixels {
                    sampling: drawn.sampling,
                    outside: &outside,
                };
                image = drawn.operation.run(&image, drawn.argument, pixels);
            }
        }
        image
    }

    /// An operation, or none where it is not applied. As much is drawn either way.
    fn draw(&self, random: &mut Stream) -> Option<Drawn> {
        let operation = TimmOperation::ALL[random.below(TimmOperation::ALL.len())];
        let applied = random.unit() < self.probability;
        let level = self.magnitude + self.magnitude_std * random.normal();
        let (negative, cubic) = (random.below(2) == 1, random.below(2) == 1);
        let sampling = match (self.interpolation, cubic) {
            (TimmSampling::Bicubic, _) | (TimmSampling::Random, true) => Sampling::Bicubic,
            (TimmSampling::Bilinear, _) | (TimmSampling::Random, false) => Sampling::Bilinear,
        };
        applied.then(|| Drawn {
            operation,
            argument: operation.argument(level.clamp(0.0, MOST), self.increasing, negative),
            sampling,
        })
    }
}

struct Drawn {
    operation: TimmOperation,
    argument: f64,
    sampling: Sampling,
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn draws_have_the_distribution_that_was_asked_for() {
        let config = TimmRandAugment::default();
        let (count, mut degrees) = (60_000, Vec::new());
        let mut drawn: HashMap<TimmOperation, usize> = HashMap::new();
        let (mut applied, mut cubic) = (0, 0);
        for index in 0..count {
            let Some(found) = config.draw(&mut Stream::new([1, 2, 3, index])) else {
                continue;
            };
            applied += 1;
            cubic += u32::from(found.sampling == Sampling::Bicubic);
            *drawn.entry(found.operation).or_default() += 1;
            if found.operation == TimmOperation::Rotate {
                degrees.push(found.argument);
            }
        }
        // Five standard deviations around halves and fifteenths.
        assert!((29_387..30_613).contains(&applied), "{applied}");
        assert!((14_567..15_433).contains(&cubic), "{cubic}");
        assert_eq!(drawn.len(), 15);
        assert!(
            drawn.values().all(|n| (1784..2216).contains(n)),
            "{drawn:?}"
        );
        // Of 2,000 degrees 3 times a normal variate of 9 and 0.5, the mean within five standard errors. Cut off at 10
        // it loses a little: the mean of max(x, 2) of a standard normal x is 0.0085 below that of x.
        let size = degrees.iter().map(|d| d.abs());
        let mean = size.clone().sum::<f64>() / degrees.len() as f64;
        let expected = 3.0 * (9.0 - 0.5 * 0.0085);
        assert!(
            (mean - expected).abs() < 5.0 * 1.5 / 2000.0_f64.sqrt(),
            "{mean}"
        );
        assert!(size.clone().all(|d| d <= 30.0) && size.clone().any(|d| d == 30.0));
        let left = degrees.iter().filter(|d| **d > 0.0).count();
        assert!((885..1115).contains(&left), "{left} of {}", degrees.len());
    }

    #[test]
    fn a_probability_of_0_leaves_images_alone_and_outside_is_the_mean() {
        let image = Bitmap {
            width: 8,
            height: 8,
            channels: 3,
            bytes: (0..192).collect(),
        };
        let never = TimmRandAugment {
            probability: 0.0,
            ..TimmRandAugment::default()
        };
        for index in 0..50 {
            let mut random = Stream::new([1, 2, 3, index]);
            assert_eq!(never.apply(image.clone(), &[0.5; 3], &mut random), image);
        }
        let always = TimmRandAugment {
            num_ops: 1,
            probability: 1.0,
            ..TimmRandAugment::default()
        };
        let mean = [0.485, 0.456, 0.406];
        let filled = |index| {
            let mut random = Stream::new([1, 2, 3, index]);
            let seen = always.apply(image.clone(), &mean, &mut random);
            seen.bytes.chunks(3).any(|pixel| pixel == [124, 116, 104])
        };
        let count = (0..600).filter(|&index| filled(index)).count();
        // Five of fifteen operations show what is outside.
        assert!((143..257).contains(&count), "{count}");
    }
}
