//! Random brightness, contrast and saturation.

use serde::{Deserialize, Serialize};

use crate::random::Stream;
use crate::{Bitmap, Error, Operation};

/// Changes brightness, contrast and saturation in a random order, each by a factor that is uniform in
/// `[max(0, 1 - x), 1 + x]` (torchvision's `ColorJitter` without its hue; timm's `color_jitter = 0.4` is 0.4 for each
/// of the three).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// Most change of the brightness. Default: 0.4.
    pub brightness: f64,
    /// Most change of the contrast. Default: 0.4.
    pub contrast: f64,
    /// Most change of the saturation; without effect on grey images. Default: 0.4.
    pub saturation: f64,
}

impl Default for ColorJitter {
    fn default() -> Self {
        Self {
            brightness: 0.4,
            contrast: 0.4,
            saturation: 0.4,
        }
    }
}

impl ColorJitter {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        for (key, value) in [
            ("augment.color_jitter.brightness", self.brightness),
            ("augment.color_jitter.contrast", self.contrast),
            ("augment.color_jitter.saturation", self.saturation),
        ] {
            if !(value.is_finite() && value >= 0.0) {
                let expected = "a number of at least 0 is wanted; 0 changes nothing";
                return Err(Error::config(key, value, expected));
            }
        }
        Ok(())
    }

    pub(crate) fn apply(&self, mut image: Bitmap, random: &mut Stream) -> Bitmap {
        let mut changes = [
            (Operation::Brightness, self.brightness),
            (Operation::Contrast, self.contrast),
            (Operation::Color, self.saturation),
        ];
        random.shuffle(&mut changes);
        for (operation, most) in changes {
            let factor = random.between([(1.0 - most).max(0.0), 1.0 + most]);
            if most > 0.0 {
                image = operation.enhance(&image, factor);
            }
        }
        image
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_nothing_is_none_and_others_stay_in_their_range() {
        let image = Bitmap {
            width: 8,
            height: 8,
            channels: 1,
            bytes: vec![100; 64],
        };
        let jitter = |brightness| ColorJitter {
            brightness,
            contrast: 0.0,
            saturation: 0.0,
        };
        let shown = |brightness, index| {
            let mut random = Stream::new([1, 2, 3, index]);
            jitter(brightness).apply(image.clone(), &mut random).bytes[0]
        };
        assert_eq!(shown(0.0, 1), 100);
        let drawn: Vec<u8> = (0..2000).map(|index| shown(0.4, index)).collect();
        assert_eq!(
            drawn.iter().min(),
            Some(&60),
            "a byte is cut off to a whole number"
        );
        assert_eq!(drawn.iter().max(), Some(&139));
        assert_eq!((0..2000).map(|index| shown(2.0, index)).min(), Some(0));
    }
}
