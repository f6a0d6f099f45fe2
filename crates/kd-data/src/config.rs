//! The recipe's `[data]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::sets::NAMES;
use crate::{Augment, Error, Interpolation, Mix, Normalize};

/// Which data a run reads, how they are split, and what is done to an image.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// `cifar10`, `cifar100`, `fashion_mnist`, `mnist`, `folder`, or `fashion_mnist_small`, which
    /// is built in (the default).
    pub name: String,
    /// The folder that holds the archive or its extracted folder (or where a download goes), the
    /// archive itself, or the image folder. Default: what the environment's `KD_DATA` names, or
    /// `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// Whether absent data may be fetched; only CIFAR-10 and CIFAR-100 can be. Default: true.
    pub download: bool,
    /// Share of the training set that is held out for validation, stratified; 0 for none.
    /// Default: 0.1.
    pub validation: f64,
    /// Train on only so many images, stratified; the validation set shrinks in proportion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Test on only so many images, stratified.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// `folder` only, and required there: networks see images of `size` × `size`. Without `resize` and `crop_pct`
    /// images are stretched to it and kept in memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// `folder` only: evaluation resizes the short side of an image to so many pixels, and cuts out the centre of
    /// `size` × `size`. Images then stay in their files, and are decoded whenever they are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
    /// Instead of `resize`: `size` as a share of the short side, such as 0.875.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_pct: Option<f64>,
    /// `folder` only: what a pixel between pixels is where images are resized. Default: `bilinear`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// What is subtracted and divided by. Default: `dataset`.
    pub normalize: Normalize,
    /// What is done to training images. Default: `{ crop = 4, flip = true, cutout = 0 }`.
    pub augment: Augment,
    /// How training images of a batch are mixed; not at all when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
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
            resize: None,
            crop_pct: None,
            interpolation: None,
            normalize: Normalize::Dataset,
            augment: Augment::default(),
            mix: None,
            split_seed: 0,
        }
    }
}

impl DataConfig {
    /// Where data are looked for: `dir`, or what the environment's `KD_DATA` names, or `data`.
    pub fn dir(&self) -> PathBuf {
        let named = || std::env::var_os("KD_DATA").filter(|value| !value.is_empty());
        let dir = self.dir.clone().or_else(|| named().map(PathBuf::from));
        dir.unwrap_or_else(|| "data".into())
    }

    /// Whether the size of the images must be given, and is not.
    pub fn lacks_size(&self) -> bool {
        self.name == "folder" && self.size.is_none()
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
                    "at least 1 image is needed; leave the key out to use all",
                ));
            }
        }
        self.validate_size()?;
        self.validate_fit()?;
        self.normalize.validate()?;
        self.augment.validate()?;
        match &self.mix {
            Some(mix) => mix.validate(),
            None => Ok(()),
        }
    }

    fn validate_size(&self) -> Result<(), Error> {
        match (self.name.as_str(), self.size) {
            ("folder", None) => Err(Error::config(
                "size",
                "(not set)",
                "an image folder needs the side, in pixels, that images are resized to",
            )),
            ("folder", Some(0)) => Err(Error::config("size", 0, "at least 1 pixel is needed")),
            ("folder", Some(size)) if size > MOST => Err(Error::config(
                "size",
                size,
                format!("at most {MOST} pixels"),
            )),
            ("folder", Some(_)) | (_, None) => Ok(()),
            (name, Some(size)) => Err(Error::config(
                "size",
                size,
                format!("only `folder` is resized; leave the key out for `{name}`"),
            )),
        }
    }
}

/// Longest side of an image, in pixels.
pub(crate) const MOST: usize = 4096;

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
                cutout: 8,
                ..Augment::default()
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
