//! What is done to a training image, and how a recipe spells it.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use crate::{
    ColorJitter, Error, RandAugment, RandomErasing, RandomResizedCrop, TimmRandAugment,
    TrivialAugment,
};

/// Random views of an image. In a recipe: a table of these keys, or `"none"`.
///
/// They are applied in this order: `random_resized_crop`, `crop`, `flip`, one of `rand_augment`, `timm_rand_augment` and
/// `trivial_augment`, `color_jitter`; then the image is normalised; then `cutout` and `random_erasing`.
#[derive(Serialize, Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// The image is moved by up to so many pixels each way; what comes in is black.
    ///
    /// The same as padding by `crop` zeros and cropping to the old size at random.
    pub crop: usize,
    /// Mirrored left to right, half of the time.
    pub flip: bool,
    /// Side of a square hole, in pixels; 0 for none (cutout, DeVries and Taylor 2017).
    ///
    /// The hole's centre is anywhere in the image, so part of it may lie outside. It is filled
    /// with the mean, that is 0 after normalisation.
    pub cutout: usize,
    /// A random part of the image, resized to the size that networks see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_resized_crop: Option<RandomResizedCrop>,
    /// Random operations of a list, all of one strength.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rand_augment: Option<RandAugment>,
    /// Random operations of timm's list, whose strength varies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timm_rand_augment: Option<TimmRandAugment>,
    /// One random operation of a list, of random strength.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trivial_augment: Option<TrivialAugment>,
    /// Random brightness, contrast and saturation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// A rectangle is erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_erasing: Option<RandomErasing>,
    /// Views of an image in a batch, each drawn anew (repeated augmentation: E. Hoffer et al., "Augment Your Batch",
    /// CVPR 2020; M. Berman et al., "MultiGrain", 2019). An epoch has as many images as without, and so shows only one
    /// in `repeats`.
    #[serde(skip_serializing_if = "is_one")]
    pub repeats: usize,
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl Default for Augment {
    /// The CIFAR literature's: crop 4 and flip.
    fn default() -> Self {
        Self {
            crop: 4,
            flip: true,
            ..Self::none()
        }
    }
}

/// More views of one image are no batch to learn from.
const MOST_REPEATS: usize = 64;

impl Augment {
    /// Images as they are.
    pub const fn none() -> Self {
        Self {
            crop: 0,
            flip: false,
            cutout: 0,
            random_resized_crop: None,
            rand_augment: None,
            timm_rand_augment: None,
            trivial_augment: None,
            color_jitter: None,
            random_erasing: None,
            repeats: 1,
        }
    }

    /// Checks what can be checked without images.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<(), Error> {
        if let Some(part) = &self.random_resized_crop {
            part.validate()?;
            if self.crop > 0 {
                return Err(Error::config(
                    "augment.crop",
                    self.crop,
                    "augment.random_resized_crop cuts a random part already; leave `crop` out, or set it to 0",
                ));
            }
        }
        if let Some(operations) = &self.rand_augment {
            operations.validate()?;
        }
        if let Some(operations) = &self.timm_rand_augment {
            operations.validate()?;
        }
        if let Some(operation) = &self.trivial_augment {
            operation.validate()?;
        }
        let lists = [
            ("augment.rand_augment", self.rand_augment.is_some()),
            (
                "augment.timm_rand_augment",
                self.timm_rand_augment.is_some(),
            ),
            ("augment.trivial_augment", self.trivial_augment.is_some()),
        ];
        let mut given = lists.into_iter().filter(|(_, given)| *given);
        if let (Some((first, _)), Some((second, _))) = (given.next(), given.next()) {
            let expected =
                format!("{first} draws such operations already; leave one of the two out");
            return Err(Error::config(second, "{ .. }", expected));
        }
        if !(1..=MOST_REPEATS).contains(&self.repeats) {
            let expected =
                format!("1 to {MOST_REPEATS} views of an image are wanted; 1 repeats nothing");
            return Err(Error::config("augment.repeats", self.repeats, expected));
        }
        if let Some(colours) = &self.color_jitter {
            colours.validate()?;
        }
        match &self.random_erasing {
            Some(erasing) => erasing.validate(),
            None => Ok(()),
        }
    }

    /// Whether a view is one of so many that none is ever drawn twice.
    pub fn is_endless(&self) -> bool {
        self.random_resized_crop.is_some() || self.recolours() || self.random_erasing.is_some()
    }

    /// Whether more is done to the bytes of an image than moving and mirroring it.
    pub(crate) fn recolours(&self) -> bool {
        self.rand_augment.is_some()
            || self.timm_rand_augment.is_some()
            || self.trivial_augment.is_some()
            || self.color_jitter.is_some()
    }

    /// Refuses what would leave nothing of an image to see.
    pub(crate) fn fits(&self, (height, width): (usize, usize)) -> Result<(), Error> {
        let side = height.min(width);
        let expected = |what| format!("{what} a side of these {height}x{width} images");
        if self.crop >= side {
            let expected = expected("a move must be shorter than");
            return Err(Error::config("augment.crop", self.crop, expected));
        }
        if self.cutout > side {
            let expected = expected("a hole must be no larger than");
            return Err(Error::config("augment.cutout", self.cutout, expected));
        }
        self.validate()
    }
}

impl<'de> Deserialize<'de> for Augment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default)]
        struct Table {
            crop: Option<usize>,
            flip: Option<bool>,
            cutout: usize,
            random_resized_crop: Option<RandomResizedCrop>,
            rand_augment: Option<RandAugment>,
            timm_rand_augment: Option<TimmRandAugment>,
            trivial_augment: Option<TrivialAugment>,
            color_jitter: Option<ColorJitter>,
            random_erasing: Option<RandomErasing>,
            repeats: Option<usize>,
        }
        impl From<Table> for Augment {
            fn from(table: Table) -> Self {
                let default = match table.random_resized_crop {
                    // It cuts the image already.
                    Some(_) => Self {
                        crop: 0,
                        ..Self::default()
                    },
                    None => Self::default(),
                };
                Self {
                    crop: table.crop.unwrap_or(default.crop),
                    flip: table.flip.unwrap_or(default.flip),
                    cutout: table.cutout,
                    random_resized_crop: table.random_resized_crop,
                    rand_augment: table.rand_augment,
                    timm_rand_augment: table.timm_rand_augment,
                    trivial_augment: table.trivial_augment,
                    color_jitter: table.color_jitter,
                    random_erasing: table.random_erasing,
                    repeats: table.repeats.unwrap_or(default.repeats),
                }
            }
        }
        struct AugmentVisitor;
        impl<'de> Visitor<'de> for AugmentVisitor {
            type Value = Augment;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"none\" or { crop = 4, flip = true, cutout = 0 }")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Augment, E> {
                match value {
                    "none" => Ok(Augment::none()),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Augment, A::Error> {
                Table::deserialize(de::value::MapAccessDeserializer::new(map)).map(Augment::from)
            }
        }
        deserializer.deserialize_any(AugmentVisitor)
    }
}

/// Refuses a range that is not `low <= high` within `least..=most`.
pub(crate) fn range(
    key: &'static str,
    range: [f64; 2],
    least: f64,
    most: f64,
    what: &str,
) -> Result<(), Error> {
    let [low, high] = range;
    if low > least && low <= high && high <= most && high.is_finite() {
        return Ok(());
    }
    let below = match most.is_finite() {
        true => format!(", at most {most}"),
        false => String::new(),
    };
    let expected = format!("{what}, as [least, most], is wanted: above {least}{below}");
    Err(Error::config(key, format!("[{low}, {high}]"), expected))
}

#[cfg(test)]
#[path = "augment_tests.rs"]
mod tests;
