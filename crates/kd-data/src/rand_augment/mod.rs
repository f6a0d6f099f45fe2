//! Random operations of a list, all of one strength.

mod affine;
mod colours;
mod operation;
mod timm;
mod timm_operation;
mod trivial;

use serde::{Deserialize, Serialize};

use crate::random::Stream;
use crate::{Bitmap, Error};

pub use affine::Sampling;
pub use operation::Operation;
pub use timm::{TimmRandAugment, TimmSampling};
pub use timm_operation::TimmOperation;
pub use trivial::TrivialAugment;

/// Applies `num_ops` operations, each drawn from the fourteen of [`Operation::ALL`] (E. Cubuk, B. Zoph, J. Shlens,
/// Q. Le, "RandAugment: Practical Automated Data Augmentation with a Reduced Search Space", NeurIPS 2020; names,
/// operations and strengths are those of torchvision's `RandAugment`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations an image. Default: 2.
    pub num_ops: usize,
    /// Strength of every operation, from 0 to `num_magnitude_bins - 1`. Default: 9.
    pub magnitude: usize,
    /// Number of strengths. Default: 31.
    pub num_magnitude_bins: usize,
    /// What a pixel between pixels is, where an image is sheared, moved or rotated. Default: `nearest`.
    pub interpolation: Sampling,
}

impl Default for RandAugment {
    fn default() -> Self {
        Self {
            num_ops: 2,
            magnitude: 9,
            num_magnitude_bins: 31,
            interpolation: Sampling::Nearest,
        }
    }
}

/// More operations leave nothing of an image, and take for ever.
const MOST_OPERATIONS: usize = 100;

impl RandAugment {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let bins = self.num_magnitude_bins;
        if !(1..=MOST_OPERATIONS).contains(&self.num_ops) {
            return Err(Error::config(
                "augment.rand_augment.num_ops",
                self.num_ops,
                format!(
                    "1 to {MOST_OPERATIONS} operations are wanted; leave the table out for none"
                ),
            ));
        }
        self::bins("augment.rand_augment.num_magnitude_bins", bins)?;
        if self.magnitude >= bins {
            return Err(Error::config(
                "augment.rand_augment.magnitude",
                self.magnitude,
                format!("a strength from 0 to below num_magnitude_bins = {bins} is wanted"),
            ));
        }
        Ok(())
    }

    pub(crate) fn apply(&self, mut image: Bitmap, random: &mut Stream) -> Bitmap {
        for _ in 0..self.num_ops {
            let operation = Operation::ALL[random.below(Operation::ALL.len())];
            let (bins, size) = (self.num_magnitude_bins, (image.width, image.height));
            let strength = operation.strength(self.magnitude, bins, size);
            let strength = operation.either_way(strength, random);
            image = operation.apply(&image, strength, self.interpolation);
        }
        image
    }
}

/// Refuses a number of strengths that are not weak and strong.
fn bins(key: &'static str, bins: usize) -> Result<(), Error> {
    match bins {
        2..=0x10_0000 => Ok(()),
        _ => Err(Error::config(
            key,
            bins,
            "at least 2 strengths are wanted (31 in the literature)",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_drawn_in_both_directions() {
        let image = Bitmap {
            width: 16,
            height: 16,
            channels: 3,
            bytes: (0..768).map(|i| (i * 7 % 256) as u8).collect(),
        };
        let seen: std::collections::HashSet<Vec<u8>> = (0..400)
            .map(|index| {
                let one = RandAugment {
                    num_ops: 1,
                    ..RandAugment::default()
                };
                one.apply(image.clone(), &mut Stream::new([1, 2, 3, index]))
                    .bytes
            })
            .collect();
        // Nine of the fourteen have two directions, and each shows something else.
        assert!((20..=23).contains(&seen.len()), "{}", seen.len());
    }
}
