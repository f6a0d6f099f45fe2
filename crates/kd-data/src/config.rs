//! The recipe's `[data]`.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use crate::sets::NAMES;
use crate::{Augment, Error};

/// Which data a run reads, how they are split, and what is done to a picture.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `cifar10`, `cifar100`, `fashion_mnist`, `mnist`, `folder`, or `fashion_mnist_small`, which
    /// is built in (the default).
    pub name: String,
    /// The folder that holds the archive or its extracted folder (or where a download goes), the
    /// archive itself, or the image folder. Default: `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whether absent data may be fetched; only CIFAR-10 and CIFAR-100 can be. Default: true.
    pub download: bool,
    /// Share of the training set that is held out for validation, stratified; 0 for none.
    /// Default: 0.1.
    pub validation: f64,
    /// Train on only so many pictures, stratified; the validation set shrinks in proportion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Test on only so many pictures, stratified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// `folder` only, and required there: pictures are resized to `size` × `size`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// What is subtracted and divided by. Default: `dataset`.
    pub normalize: Normalize,
    /// What is done to training pictures. Default: `{ crop = 4, flip = true, cutout = 0 }`.
    pub augment: Augment,
    /// Seed of the split and of the subsets. Default: 0.
    pub split_seed: u64,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            name: "fashion_mnist_small".into(),
            dir: None,
            download: true,
            validation: 0.1,
            train_limit: None,
            test_limit: None,
            size: None,
            normalize: Normalize::Dataset,
            augment: Augment::default(),
            split_seed: 0,
        }
    }
}

impl DataConfig {
    /// Where data are looked for.
    pub fn dir(&self) -> &Path {
        self.dir.as_deref().unwrap_or(Path::new("data"))
    }

    /// Checks what can be checked without reading data.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<(), Error> {
        if !NAMES.contains(&self.name.as_str()) {
            let nearest = NAMES
                .iter()
                .map(|name| (strsim::damerau_levenshtein(name, &self.name), name))
                .min()
                .filter(|(distance, _)| *distance <= 4)
                .map(|(_, name)| format!("did you mean `{name}`? "))
                .unwrap_or_default();
            let known = NAMES.join("`, `");
            return Err(Error::config(
                "name",
                format!("\"{}\"", self.name),
                format!("no such data set; {nearest}there are `{known}`"),
            ));
        }
        if !(0.0..1.0).contains(&self.validation) {
            return Err(Error::config(
                "validation",
                self.validation,
                "a share from 0 (none) to below 1 is wanted",
            ));
        }
        for (key, limit) in [
            ("train_limit", self.train_limit),
            ("test_limit", self.test_limit),
        ] {
            if limit == Some(0) {
                return Err(Error::config(
                    key,
                    0,
                    "at least 1 picture is needed; leave the key out to use all",
                ));
            }
        }
        match (self.name.as_str(), self.size) {
            ("folder", None) => Err(Error::config(
                "size",
                "(not set)",
                "an image folder needs the side, in pixels, that pictures are resized to",
            )),
            ("folder", Some(0)) => Err(Error::config("size", 0, "at least 1 pixel is needed")),
            ("folder", Some(size)) if size > 4096 => {
                Err(Error::config("size", size, "at most 4096 pixels"))
            }
            ("folder", Some(_)) | (_, None) => self.normalize.validate(),
            (name, Some(size)) => Err(Error::config(
                "size",
                size,
                format!("only `folder` is resized; leave the key out for `{name}`"),
            )),
        }
    }
}

/// Which mean and deviation a picture is normalised with: `(pixel / 255 - mean) / std`, a channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Normalize {
    /// The set's own, as the literature gives them (an image folder's are computed).
    #[default]
    Dataset,
    /// ImageNet's: mean 0.485, 0.456, 0.406 and deviation 0.229, 0.224, 0.225.
    Imagenet,
    /// Given numbers, one a channel.
    Given {
        /// Means, in units of 255.
        mean: Vec<f32>,
        /// Deviations, in units of 255.
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
    fn validate(&self) -> Result<(), Error> {
        if let Self::Given { mean, std } = self {
            let shown = || format!("{{ mean = {mean:?}, std = {std:?} }}");
            if mean.len() != std.len() || mean.is_empty() {
                let expected = "mean and std need one number a channel each";
                return Err(Error::config("normalize", shown(), expected));
            }
            if mean.iter().any(|m| !m.is_finite())
                || std.iter().any(|s| !(s.is_finite() && *s > 0.0))
            {
                let expected = "means must be finite and deviations above 0";
                return Err(Error::config("normalize", shown(), expected));
            }
        }
        Ok(())
    }

    /// Mean and deviation for pictures of so many channels, `dataset` being the set's own.
    pub(crate) fn resolve(
        &self,
        channels: usize,
        dataset: (Vec<f32>, Vec<f32>),
    ) -> Result<(Vec<f32>, Vec<f32>), Error> {
        self.validate()?;
        let (mean, std) = match self {
            Self::Dataset => dataset,
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
                    "that is for {} channels and these pictures have {channels}",
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_spelling_survives_a_round_trip() {
        for value in [
            json!({"name": "cifar100", "normalize": "imagenet", "augment": "none"}),
            json!({"normalize": {"mean": [0.5], "std": [0.25]}, "augment": {"cutout": 8}}),
            json!({"dir": "x", "train_limit": 5, "validation": 0.0}),
        ] {
            let config: DataConfig = serde_json::from_value(value).unwrap();
            let written = serde_json::to_value(&config).unwrap();
            assert_eq!(
                serde_json::from_value::<DataConfig>(written).unwrap(),
                config
            );
        }
        let config: DataConfig = serde_json::from_value(json!({"augment": {"cutout": 8}})).unwrap();
        assert_eq!(
            config.augment,
            Augment {
                crop: 4,
                flip: true,
                cutout: 8
            }
        );
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (value, part) in [
            (json!({"nam": "mnist"}), "unknown field `nam`"),
            (json!({"normalize": "imagnet"}), "\"dataset\", \"imagenet\""),
            (json!({"normalize": {"mean": [0.5]}}), "missing field `std`"),
            (json!({"augment": "some"}), "\"none\""),
            (json!({"augment": {"flp": true}}), "unknown field `flp`"),
        ] {
            let error = serde_json::from_value::<DataConfig>(value)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        }
        let ok = DataConfig::default;
        for (config, part) in [
            (
                DataConfig {
                    name: "cifar_100".into(),
                    ..ok()
                },
                "did you mean `cifar100`?",
            ),
            (
                DataConfig {
                    name: "imagenet-21k-big".into(),
                    ..ok()
                },
                "there are `cifar10`",
            ),
            (
                DataConfig {
                    validation: 1.0,
                    ..ok()
                },
                "data.validation = 1",
            ),
            (
                DataConfig {
                    validation: f64::NAN,
                    ..ok()
                },
                "data.validation",
            ),
            (
                DataConfig {
                    test_limit: Some(0),
                    ..ok()
                },
                "data.test_limit = 0",
            ),
            (
                DataConfig {
                    name: "folder".into(),
                    ..ok()
                },
                "data.size",
            ),
            (
                DataConfig {
                    size: Some(32),
                    ..ok()
                },
                "only `folder` is resized",
            ),
            (
                DataConfig {
                    normalize: Normalize::Given {
                        mean: vec![0.5],
                        std: vec![0.0],
                    },
                    ..ok()
                },
                "deviations above 0",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        ok().validate().unwrap();
    }
}
