//! The recipe's `[detection]`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{
    BoxAugment, DetectionSet, IouCrop, Photometric, VocOptions, ZoomOut, read_coco, read_voc,
    shapes,
};
use crate::Error;
use crate::random::Stream;

/// Which images with boxes a run reads, and what is done to an image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionConfig {
    /// `coco`, `voc`, or `shapes`, which are drawn from a seed (the default).
    pub name: String,
    /// The folder that the other paths start from. Default: what the environment's `KD_DATA` names, or `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
    /// `coco`: the file of the training split; `voc`: its name, such as `train`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train: Option<PathBuf>,
    /// The validation split, likewise. Without it `holdout` of the training images are taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation: Option<PathBuf>,
    /// The test split, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// `coco`: the folder of the images. Default: `dir` itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<PathBuf>,
    /// `coco`: the folder of the training images, where they have one of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_images: Option<PathBuf>,
    /// `coco`: whether a class has its id as its number, so that gaps between ids are classes without objects. Weights of
    /// torchvision for COCO are made so: 90 classes, of which 80 are used. Default: false, classes without gaps.
    pub raw_ids: bool,
    /// `voc`: whether the first pixel is 1. Default: true.
    pub one_based: bool,
    /// Share of the training images that is held out for validation, where there is no `validation`. Default: 0.1.
    pub holdout: f64,
    /// Train on only so many images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_limit: Option<usize>,
    /// Validate and test on only so many images each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Height and width that networks see an image at. Default: 300.
    pub size: usize,
    /// What is done to training images. Default: SSD's.
    pub augment: DetectionAugment,
    /// Seed of the split and of the subsets. Default: 0.
    pub split_seed: u64,
}

impl Default for DetectionConfig {
    fn default() -> Self {
        Self {
            name: "shapes".into(),
            dir: None,
            train: None,
            validation: None,
            test: None,
            images: None,
            train_images: None,
            raw_ids: false,
            one_based: true,
            holdout: 0.1,
            train_limit: None,
            test_limit: None,
            size: 300,
            augment: DetectionAugment::default(),
            split_seed: 0,
        }
    }
}

/// What is done to a training image with its boxes, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionAugment {
    /// Brightness, contrast, saturation, hue and the order of the channels.
    pub photometric: bool,
    /// The largest canvas that half of the images are put on, in their sides; 1 for none.
    pub zoom_out: f64,
    /// A part of the image that overlaps an object.
    pub crop: bool,
    /// The probability that left and right are exchanged.
    pub flip: f64,
    /// The probability that above and below are exchanged.
    pub flip_vertical: f64,
}

impl Default for DetectionAugment {
    fn default() -> Self {
        Self {
            photometric: true,
            zoom_out: ZoomOut::default().largest,
            crop: true,
            flip: 0.5,
            flip_vertical: 0.0,
        }
    }
}

impl DetectionAugment {
    /// What it stands for.
    pub fn boxes(&self) -> BoxAugment {
        BoxAugment {
            photometric: self.photometric.then(Photometric::default),
            zoom_out: (self.zoom_out > 1.0).then(|| ZoomOut {
                largest: self.zoom_out,
                ..ZoomOut::default()
            }),
            crop: self.crop.then(IouCrop::default),
            flip: self.flip,
            flip_vertical: self.flip_vertical,
        }
    }
}

/// The splits of a set.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectionSplits {
    /// Images to train on.
    pub train: DetectionSet,
    /// Images that select an epoch.
    pub validation: DetectionSet,
    /// Images that are read once, at the end.
    pub test: DetectionSet,
}

/// The kinds of sets.
const NAMES: [&str; 3] = ["coco", "voc", "shapes"];
/// Drawn images of each split.
const SHAPES: [usize; 3] = [64, 32, 64];

impl DetectionConfig {
    /// Checks what can be checked without reading data.
    ///
    /// # Errors
    /// [`Error::Config`] that names the key.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |key, value: &dyn ToString, expected: &str| {
            Err(Error::Detection {
                key,
                value: value.to_string(),
                expected: expected.into(),
            })
        };
        if !NAMES.contains(&self.name.as_str()) {
            return refuse("name", &self.name, "there are `coco`, `voc` and `shapes`");
        }
        if !(32..=4096).contains(&self.size) {
            return refuse("size", &self.size, "from 32 to 4096 pixels");
        }
        if !(self.holdout > 0.0 && self.holdout < 1.0) {
            return refuse("holdout", &self.holdout, "a share above 0 and below 1");
        }
        let augment = &self.augment;
        if !(augment.zoom_out >= 1.0 && augment.zoom_out <= 8.0) {
            return refuse("augment.zoom_out", &augment.zoom_out, "from 1 (none) to 8");
        }
        for (key, share) in [
            ("augment.flip", augment.flip),
            ("augment.flip_vertical", augment.flip_vertical),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return refuse(key, &share, "a probability from 0 to 1");
            }
        }
        for (key, limit) in [
            ("train_limit", self.train_limit),
            ("test_limit", self.test_limit),
        ] {
            if limit == Some(0) {
                return refuse(key, &0, "at least 1 image");
            }
        }
        if self.name == "shapes" {
            return Ok(());
        }
        let what = match self.name.as_str() {
            "coco" => "the file of this split, such as `annotations/instances_train2017.json`",
            _ => "the name of this split, such as `train`, for ImageSets/Main/train.txt",
        };
        for (key, split) in [("train", &self.train), ("test", &self.test)] {
            if split.is_none() {
                return refuse(key, &"(not set)", what);
            }
        }
        Ok(())
    }

    /// The folder that paths start from.
    pub fn dir(&self) -> PathBuf {
        let named = || std::env::var_os("KD_DATA").filter(|value| !value.is_empty());
        let dir = self.dir.clone().or_else(|| named().map(PathBuf::from));
        dir.unwrap_or_else(|| "data".into())
    }

    /// Reads the annotations of all splits; pictures are read when they are shown.
    ///
    /// # Errors
    /// As [`DetectionConfig::validate`], [`read_coco`] and [`read_voc`].
    pub fn load(&self) -> Result<DetectionSplits, Error> {
        self.validate()?;
        let (train, validation, test) = match self.name.as_str() {
            "shapes" => {
                let [train, validation, test] = SHAPES;
                (
                    shapes(train, 1),
                    Some(shapes(validation, 2)),
                    shapes(test, 3),
                )
            }
            "coco" => self.coco()?,
            _ => self.voc()?,
        };
        let (train, validation) = match validation {
            Some(validation) => (train, validation),
            None => self.held_out(&train)?,
        };
        let limited = |set: DetectionSet, limit: Option<usize>, which| match limit {
            Some(limit) if limit < set.images.len() => {
                let mut places = self.shuffled(set.images.len(), which);
                places.truncate(limit);
                places.sort_unstable();
                set.only(&places)
            }
            _ => set,
        };
        Ok(DetectionSplits {
            train: limited(train, self.train_limit, 1),
            validation: limited(validation, self.test_limit, 2),
            test: limited(test, self.test_limit, 3),
        })
    }

    fn coco(&self) -> Result<(DetectionSet, Option<DetectionSet>, DetectionSet), Error> {
        let dir = self.dir();
        let folder = |own: &Option<PathBuf>| match own.as_ref().or(self.images.as_ref()) {
            Some(folder) => dir.join(folder),
            None => dir.clone(),
        };
        let (images, of_train) = (folder(&None), folder(&self.train_images));
        let file = |split: &Option<PathBuf>| dir.join(split.as_deref().unwrap_or(Path::new("")));
        let train = read_coco(&file(&self.train), &of_train, None)?;
        let classes = Some(&train.classes);
        let validation = match &self.validation {
            Some(_) => Some(read_coco(&file(&self.validation), &images, classes)?),
            None => None,
        };
        let test = read_coco(&file(&self.test), &images, classes)?;
        if !self.raw_ids {
            return Ok((train, validation, test));
        }
        let by_id = |set: DetectionSet| {
            set.by_id().ok_or_else(|| Error::Detection {
                key: "raw_ids",
                value: "true".into(),
                expected: "ids from 1 to 1000: 0 is the background".into(),
            })
        };
        let validation = validation.map(by_id).transpose()?;
        Ok((by_id(train)?, validation, by_id(test)?))
    }

    fn voc(&self) -> Result<(DetectionSet, Option<DetectionSet>, DetectionSet), Error> {
        let options = VocOptions {
            one_based: self.one_based,
        };
        let read = |split: &Path| read_voc(&self.dir(), &split.to_string_lossy(), options);
        let named = |split: &Option<PathBuf>| read(split.as_deref().unwrap_or(Path::new("")));
        let validation = self.validation.as_deref().map(read).transpose()?;
        Ok((named(&self.train)?, validation, named(&self.test)?))
    }

    /// The training images in two parts.
    fn held_out(&self, train: &DetectionSet) -> Result<(DetectionSet, DetectionSet), Error> {
        let count = train.images.len();
        let held = ((count as f64 * self.holdout).round() as usize).max(1);
        if held >= count {
            return Err(Error::Detection {
                key: "holdout",
                value: self.holdout.to_string(),
                expected: format!("there are {count} training images, of which some must be left"),
            });
        }
        let mut held_out = self.shuffled(count, 0);
        let mut rest = held_out.split_off(held);
        held_out.sort_unstable();
        rest.sort_unstable();
        Ok((train.only(&rest), train.only(&held_out)))
    }

    fn shuffled(&self, count: usize, which: u64) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).collect();
        Stream::new([self.split_seed, SPLIT, which, 0]).shuffle(&mut places);
        places
    }
}

/// Tells the draws of this apart from others of the same seed.
const SPLIT: u64 = 0x0B0C_5917;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn problem(config: serde_json::Value) -> String {
        let config: DetectionConfig = serde_json::from_value(config).unwrap();
        config.load().unwrap_err().to_string()
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (config, part) in [
            (
                json!({ "name": "cocoo" }),
                "detection.name = cocoo: there are `coco`",
            ),
            (json!({ "size": 8 }), "detection.size = 8: from 32"),
            (json!({ "holdout": 1.0 }), "detection.holdout = 1: a share"),
            (
                json!({ "augment": { "zoom_out": 0.5 } }),
                "detection.augment.zoom_out = 0.5",
            ),
            (
                json!({ "augment": { "flip": 1.5 } }),
                "detection.augment.flip = 1.5",
            ),
            (
                json!({ "train_limit": 0 }),
                "detection.train_limit = 0: at least 1",
            ),
            (
                json!({ "name": "coco" }),
                "detection.train = (not set): the file",
            ),
            (
                json!({ "name": "voc", "train": "train" }),
                "detection.test = (not set): the name",
            ),
            (
                json!({ "name": "coco", "dir": "/nowhere", "train": "a.json", "test": "b.json" }),
                "a.json",
            ),
        ] {
            let said = problem(config);
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn subsets_and_what_is_held_out_follow_from_the_seed_and_do_not_overlap() {
        let config = DetectionConfig {
            train_limit: Some(10),
            test_limit: Some(5),
            ..DetectionConfig::default()
        };
        let splits = config.load().unwrap();
        let counts = [&splits.train, &splits.validation, &splits.test].map(|s| s.images.len());
        assert_eq!(counts, [10, 5, 5]);
        assert_eq!(config.load().unwrap(), splits);
        let other = DetectionConfig {
            split_seed: 1,
            ..config.clone()
        };
        assert_ne!(other.load().unwrap().train, splits.train);
        let (rest, held) = config.held_out(&shapes(20, 1)).unwrap();
        assert_eq!((rest.images.len(), held.images.len()), (18, 2));
        let taken = |image: &super::super::Annotated| rest.images.contains(image);
        assert!(!held.images.iter().any(taken));
    }
}
