//! One random operation of a list, of random strength.

use serde::{Deserialize, Serialize};

use super::{Operation, Sampling};
use crate::random::Stream;
use crate::{Bitmap, Error};

/// Applies one operation, drawn from the fourteen of [`Operation::ALL`], at a strength that is drawn too (S. Müller,
/// F. Hutter, "TrivialAugment: Tuning-free Yet State-of-the-Art Data Augmentation", ICCV 2021; torchvision's
/// `TrivialAugmentWide`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrivialAugment {
    /// Number of strengths. Default: 31.
    pub num_magnitude_bins: usize,
    /// What a pixel between pixels is, where an image is sheared, moved or rotated. Default: `nearest`.
    pub interpolation: Sampling,
}

impl Default for TrivialAugment {
    fn default() -> Self {
        Self {
            num_magnitude_bins: 31,
            interpolation: Sampling::Nearest,
        }
    }
}

impl TrivialAugment {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        super::bins(
            "augment.trivial_augment.num_magnitude_bins",
            self.num_magnitude_bins,
        )
    }

    pub(crate) fn apply(&self, image: &Bitmap, random: &mut Stream) -> Bitmap {
        let operation = Operation::ALL[random.below(Operation::ALL.len())];
        let bins = self.num_magnitude_bins;
        let strength = operation.wide_strength(random.below(bins), bins);
        let strength = operation.either_way(strength, random);
        operation.apply(image, strength, self.interpolation)
    }
}
