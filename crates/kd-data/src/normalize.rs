//! What an image is normalised with.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::Error;

/// Which mean and standard deviation an image is normalised with: `(pixel / 255 - mean) / std`, a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Normalize {
    /// The set's own, as the literature gives them (an image folder's are computed).
    #[default]
    Dataset,
    /// ImageNet's: mean 0.485, 0.456, 0.406 and standard deviation 0.229, 0.224, 0.225.
    Imagenet,
    /// Given numbers, one a channel.
    Given {
        /// Means, in units of 255.
        mean: Vec<f32>,
        /// Standard deviations, in units of 255.
        std: Vec<f32>,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normalize {
    /// Checks given numbers.
    ///
    /// # Errors
    /// [`Error::Config`] that says what is wrong.
    pub fn validate(&self) -> Result<(), Error> {
        if let Self::Given { mean, std } = self {
            let shown = || format!("{{ mean = {mean:?}, std = {std:?} }}");
            if mean.len() != std.len() || mean.is_empty() {
                let expected = "mean and std need one number a channel each";
                return Err(Error::config("normalize", shown(), expected));
            }
            if mean.iter().any(|m| !m.is_finite())
                || std.iter().any(|s| !(s.is_finite() && *s > 0.0))
            {
                let expected = "means must be finite and standard deviations above 0";
                return Err(Error::config("normalize", shown(), expected));
            }
        }
        Ok(())
    }

    /// Mean and standard deviation for images of so many channels, `dataset` being the set's own.
    ///
    /// # Errors
    /// [`Error::Config`] when they are for another number of channels, or a deviation of the set's own is 0.
    pub fn resolve(
        &self,
        channels: usize,
        dataset: (Vec<f32>, Vec<f32>),
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        self.validate()?;
        let (mean, std) = match self {
            Self::Dataset => {
                if let Some(channel) = dataset.1.iter().position(|std| *std <= 0.0) {
                    let expected = format!(
                        "channel {channel} has the same value ({}) in every pixel of the training images, so its \
                         standard deviation is 0 and nothing can be divided by it; give {{ mean = [..], std = [..] }} \
                         or \"imagenet\", or other images",
                        dataset.0[channel]
                    );
                    return Err(Error::config("normalize", "\"dataset\"", expected));
                }
                dataset
            }
            Self::Imagenet => (vec![0.485, 0.456, 0.406], vec![0.229, 0.224, 0.225]),
            Self::Given { mean, std } => (mean.clone(), std.clone()),
        };
        if mean.len() != channels {
            let value = match self {
                Self::Imagenet => "\"imagenet\"".to_string(),
                _ => format!("{{ mean = {mean:?}, std = {std:?} }}"),
            };
            return Err(Error::config(
                "normalize",
                value,
                format!(
                    "that is for {} channels and these images have {channels}",
                    mean.len()
                ),
            ));
        }
        Ok((mean, std))
    }
}

impl Serialize for Normalize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Dataset => serializer.serialize_str("dataset"),
            Self::Imagenet => serializer.serialize_str("imagenet"),
            Self::Given { mean, std } => Given {
                mean: mean.clone(),
                std: std.clone(),
            }
            .serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Normalize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A visitor, because an untagged enum would hide which key or value is wrong.
        struct NormalizeVisitor;
        impl<'de> Visitor<'de> for NormalizeVisitor {
            type Value = Normalize;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("\"dataset\", \"imagenet\" or { mean = [..], std = [..] }")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Normalize, E> {
                match value {
                    "dataset" => Ok(Normalize::Dataset),
                    "imagenet" => Ok(Normalize::Imagenet),
                    _ => Err(E::invalid_value(de::Unexpected::Str(value), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Normalize, A::Error> {
                let Given { mean, std } =
                    Given::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(Normalize::Given { mean, std })
            }
        }
        deserializer.deserialize_any(NormalizeVisitor)
    }
}
