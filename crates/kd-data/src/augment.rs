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
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: serde_json::Value) -> Augment {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_part_of_the_image_takes_the_place_of_the_shift() {
        let all = json!({
            "random_resized_crop": {}, "timm_rand_augment": {}, "color_jitter": {}, "random_erasing": {},
            "repeats": 3
        });
        let augment = read(all);
        assert_eq!((augment.crop, augment.flip, augment.cutout), (0, true, 0));
        augment.validate().unwrap();
        assert!(augment.is_endless() && !Augment::default().is_endless());
        let written = serde_json::to_value(augment).unwrap();
        assert_eq!(read(written), augment);
        let old = json!({"crop": 4, "flip": true, "cutout": 0});
        assert_eq!(serde_json::to_value(Augment::default()).unwrap(), old);
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (value, parts) in [
            (
                json!({"random_resized_crop": {}, "crop": 4}),
                ["data.augment.crop = 4", "leave `crop` out"],
            ),
            (
                json!({"random_resized_crop": {"scale": [0.0, 1.0]}}),
                [
                    "data.augment.random_resized_crop.scale = [0, 1]",
                    "above 0, at most 1",
                ],
            ),
            (
                json!({"random_resized_crop": {"scale": [0.5, 1.5]}}),
                ["random_resized_crop.scale = [0.5, 1.5]", "at most 1"],
            ),
            (
                json!({"random_resized_crop": {"ratio": [2.0, 1.0]}}),
                ["random_resized_crop.ratio = [2, 1]", "above 0"],
            ),
            (
                json!({"rand_augment": {"magnitude": 31}}),
                [
                    "rand_augment.magnitude = 31",
                    "below num_magnitude_bins = 31",
                ],
            ),
            (
                json!({"rand_augment": {"num_magnitude_bins": 1, "magnitude": 0}}),
                ["rand_augment.num_magnitude_bins = 1", "at least 2"],
            ),
            (
                json!({"rand_augment": {"num_ops": 0}}),
                ["rand_augment.num_ops = 0", "leave the table out"],
            ),
            (
                json!({"rand_augment": {}, "trivial_augment": {}}),
                ["data.augment.trivial_augment", "leave one of the two out"],
            ),
            (
                json!({"timm_rand_augment": {}, "rand_augment": {}}),
                ["data.augment.timm_rand_augment", "leave one of the two out"],
            ),
            (
                json!({"timm_rand_augment": {"num_ops": 0}}),
                ["timm_rand_augment.num_ops = 0", "leave the table out"],
            ),
            (
                json!({"timm_rand_augment": {"magnitude": 15}}),
                ["timm_rand_augment.magnitude = 15", "from 0 to 10"],
            ),
            (
                json!({"timm_rand_augment": {"magnitude_std": -1}}),
                ["timm_rand_augment.magnitude_std = -1", "0 to 100"],
            ),
            (
                json!({"timm_rand_augment": {"probability": 1.5}}),
                ["timm_rand_augment.probability = 1.5", "from 0 to 1"],
            ),
            (
                json!({"repeats": 0}),
                ["data.augment.repeats = 0", "1 repeats nothing"],
            ),
            (
                json!({"trivial_augment": {"num_magnitude_bins": 1}}),
                ["trivial_augment.num_magnitude_bins = 1", "at least 2"],
            ),
            (
                json!({"color_jitter": {"contrast": -0.5}}),
                ["color_jitter.contrast = -0.5", "at least 0"],
            ),
            (
                json!({"random_erasing": {"probability": 2.0}}),
                ["random_erasing.probability = 2", "from 0 to 1"],
            ),
            (
                json!({"random_erasing": {"scale": [0.3, 0.2]}}),
                ["random_erasing.scale = [0.3, 0.2]", "above 0"],
            ),
        ] {
            let error = read(value).validate().unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        for (value, part) in [
            (
                json!({"rand_augment": {"magnitud": 9}}),
                "unknown field `magnitud`",
            ),
            (
                json!({"random_resized_crop": {"interpolation": "cubic"}}),
                "`bicubic`, `lanczos`",
            ),
            (
                json!({"random_erasing": {"mode": "random"}}),
                "`const`, `rand`",
            ),
        ] {
            let error = serde_json::from_value::<Augment>(value).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
