//! How an image of any size is cut to the one that networks see.

use crate::bitmap::{Bitmap, Window};
use crate::config::MOST;
use crate::resize::resize;
use crate::{DataConfig, Error, Interpolation};

/// How an image of any size becomes one of `size` × `size`, for evaluation: its short side becomes `resize` pixels,
/// and the centre is cut out (torchvision's `Resize` and `CenterCrop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// Length of the short side before the centre is cut out.
    pub resize: usize,
    /// Side of the result.
    pub size: usize,
    /// What a pixel between pixels is.
    pub interpolation: Interpolation,
}

impl Fit {
    /// The centre of an image.
    ///
    /// # Panics
    /// When the image has no pixels, or `size` is larger than `resize`.
    pub fn apply(&self, image: &Bitmap) -> Bitmap {
        let Self {
            resize: short,
            size,
            interpolation,
        } = *self;
        assert!(size <= short && !image.bytes.is_empty(), "{self:?}");
        // The long side is cut off to a whole number, as torchvision does.
        let long = |long: usize, side: usize| ((short * long) as f64 / side as f64) as usize;
        let (width, height) = match (image.width, image.height) {
            (w, h) if w <= h => (short, long(h, w)),
            (w, h) => (long(w, h), short),
        };
        let start = |side: usize| ((side - size) as f64 / 2.0).round_ties_even() as usize;
        let window = Window {
            left: start(width),
            top: start(height),
            width: size,
            height: size,
        };
        resize(image, (width, height), window, interpolation)
    }
}

impl DataConfig {
    /// Checks how evaluation cuts out the centre.
    pub(crate) fn validate_fit(&self) -> Result<(), Error> {
        let keys = [
            ("resize", self.resize.map(|side| side.to_string())),
            ("crop_pct", self.crop_pct.map(|share| share.to_string())),
            ("interpolation", self.interpolation.map(|i| i.to_string())),
        ];
        let mut given = keys
            .iter()
            .filter_map(|(key, value)| Some((*key, value.clone()?)));
        let Some((key, value)) = given.next() else {
            return Ok(());
        };
        if self.name != "folder" {
            let expected = format!(
                "only `folder` is resized; leave the key out for `{}`",
                self.name
            );
            return Err(Error::config(key, value, expected));
        }
        if let (Some(resize), Some(_)) = (self.resize, self.crop_pct) {
            let expected = "`resize` and `crop_pct` say the same; leave one of them out";
            return Err(Error::config("resize", resize, expected));
        }
        if let Some(share) = self.crop_pct.filter(|share| !(0.01..=1.0).contains(share)) {
            let expected = "`size` as a share of the short side is wanted, from 0.01 to 1";
            return Err(Error::config("crop_pct", share, expected));
        }
        let (size, resize) = (self.size.unwrap_or(1), self.resize.unwrap_or(MOST));
        if resize < size {
            let expected = format!(
                "the centre of `size` = {size} pixels is cut out of it, so at least {size} is needed"
            );
            return Err(Error::config("resize", resize, expected));
        }
        if resize > MOST {
            return Err(Error::config(
                "resize",
                resize,
                format!("at most {MOST} pixels"),
            ));
        }
        Ok(())
    }

    /// How images are resized; none for the sets whose images are not.
    pub fn resized_by(&self) -> Option<Interpolation> {
        (self.name == "folder").then(|| self.interpolation.unwrap_or_default())
    }

    /// Writes out the interpolation, where images are resized and it is not given.
    pub fn with_interpolation(mut self) -> Self {
        self.interpolation = self.resized_by().or(self.interpolation);
        self
    }

    /// How evaluation cuts out the centre of an image; none for images that are stretched.
    pub fn fit(&self) -> Option<Fit> {
        let size = self.size?;
        let share = |share: f64| (size as f64 / share).floor() as usize;
        Some(Fit {
            resize: self.resize.or(self.crop_pct.map(share))?,
            size,
            interpolation: self.interpolation.unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> DataConfig {
        DataConfig {
            name: "folder".into(),
            size: Some(224),
            ..DataConfig::default()
        }
    }

    #[test]
    fn the_short_side_is_given_or_follows_from_the_share() {
        for (config, short) in [
            (
                DataConfig {
                    resize: Some(256),
                    ..folder()
                },
                256,
            ),
            (
                DataConfig {
                    crop_pct: Some(0.9),
                    ..folder()
                },
                248,
            ),
            (
                DataConfig {
                    crop_pct: Some(0.875),
                    ..folder()
                },
                256,
            ),
            (
                DataConfig {
                    crop_pct: Some(1.0),
                    ..folder()
                },
                224,
            ),
        ] {
            config.validate().unwrap();
            assert_eq!(config.fit().map(|fit| fit.resize), Some(short));
        }
        assert_eq!(folder().fit(), None);
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (config, part) in [
            (
                DataConfig {
                    resize: Some(256),
                    ..DataConfig::default()
                },
                "data.resize = 256: only `folder` is resized",
            ),
            (
                DataConfig {
                    interpolation: Some(Interpolation::Bicubic),
                    ..DataConfig::default()
                },
                "data.interpolation = bicubic: only `folder` is resized",
            ),
            (
                DataConfig {
                    resize: Some(256),
                    crop_pct: Some(0.9),
                    ..folder()
                },
                "leave one of them out",
            ),
            (
                DataConfig {
                    crop_pct: Some(1.5),
                    ..folder()
                },
                "data.crop_pct = 1.5",
            ),
            (
                DataConfig {
                    resize: Some(200),
                    ..folder()
                },
                "at least 224 is needed",
            ),
            (
                DataConfig {
                    resize: Some(1 << 20),
                    ..folder()
                },
                "at most 4096",
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
