//! A random part of an image, resized.

use serde::{Deserialize, Serialize};

use crate::augment::range;
use crate::bitmap::{Bitmap, Window};
use crate::random::Stream;
use crate::{Error, Interpolation};

/// A random part of an image, resized to what networks see (torchvision's `RandomResizedCrop`; C. Szegedy et al.,
/// "Going Deeper with Convolutions", CVPR 2015).
///
/// Its area is a share of the image's that is uniform in `scale`, and the logarithm of its width over its height is
/// uniform in that of `ratio`. Where ten draws do not fit the image, it is the largest central part of an allowed
/// ratio.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomResizedCrop {
    /// Least and most share of the image's area. Default: `[0.08, 1.0]`.
    pub scale: [f64; 2],
    /// Least and most width over height. Default: 3/4 to 4/3.
    pub ratio: [f64; 2],
    /// What a pixel between pixels is. Default: `bilinear`.
    pub interpolation: Interpolation,
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        Self {
            scale: [0.08, 1.0],
            ratio: [3.0 / 4.0, 4.0 / 3.0],
            interpolation: Interpolation::Bilinear,
        }
    }
}

/// Draws before the central part is taken.
const TRIES: usize = 10;

impl RandomResizedCrop {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let key = "augment.random_resized_crop.scale";
        range(key, self.scale, 0.0, 1.0, "a share of the area")?;
        let key = "augment.random_resized_crop.ratio";
        range(key, self.ratio, 0.0, f64::INFINITY, "width over height")
    }

    /// The part of an image of `(width, height)`.
    pub(crate) fn part(&self, (width, height): (usize, usize), random: &mut Stream) -> Window {
        let area = (width * height) as f64;
        let logs = self.ratio.map(f64::ln);
        for _ in 0..TRIES {
            let wanted = area * random.between(self.scale);
            let ratio = random.between(logs).exp();
            let w = (wanted * ratio).sqrt().round_ties_even() as usize;
            let h = (wanted / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                return Window {
                    top: random.below(height - h + 1),
                    left: random.below(width - w + 1),
                    width: w,
                    height: h,
                };
            }
        }
        self.central((width, height))
    }

    /// The largest central part of an allowed ratio.
    fn central(&self, (width, height): (usize, usize)) -> Window {
        let ratio = width as f64 / height as f64;
        let [least, most] = self.ratio;
        let side =
            |length: f64, longest: usize| (length.round_ties_even() as usize).clamp(1, longest);
        let (w, h) = if ratio < least {
            (width, side(width as f64 / least, height))
        } else if ratio > most {
            (side(height as f64 * most, width), height)
        } else {
            (width, height)
        };
        Window {
            left: (width - w) / 2,
            top: (height - h) / 2,
            width: w,
            height: h,
        }
    }

    /// A random part of `image`, resized to `(width, height)`.
    pub(crate) fn apply(
        &self,
        image: &Bitmap,
        size: (usize, usize),
        random: &mut Stream,
    ) -> Bitmap {
        let part = self.part((image.width, image.height), random);
        image.cut(part).resize(size, self.interpolation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(crop: RandomResizedCrop, size: (usize, usize), count: u64) -> Vec<Window> {
        let draw = |index| crop.part(size, &mut Stream::new([1, 2, 3, index]));
        (0..count).map(draw).collect()
    }

    #[test]
    fn parts_have_the_areas_and_ratios_that_were_asked_for() {
        let crop = RandomResizedCrop::default();
        let (mut areas, mut logs) = (0.0, 0.0);
        let drawn = parts(crop, (400, 400), 5000);
        for part in &drawn {
            assert!(part.left + part.width <= 400 && part.top + part.height <= 400);
            let area = (part.width * part.height) as f64 / 160_000.0;
            let ratio = part.width as f64 / part.height as f64;
            assert!((0.079..=1.0).contains(&area), "{part:?}");
            assert!((0.73..=1.37).contains(&ratio), "{part:?}");
            areas += area / 5000.0;
            logs += ratio.ln() / 5000.0;
        }
        // Parts of nearly the whole area fit only when they are nearly square, so the mean is below 0.54.
        assert!((0.45..0.54).contains(&areas), "{areas}");
        assert!(logs.abs() < 0.015, "{logs}");
        let half = |f: &dyn Fn(&Window) -> bool| drawn.iter().filter(|part| f(part)).count();
        let right = half(&|part| 2 * part.left > 400 - part.width);
        assert!((2250..2750).contains(&right), "{right}");
    }

    #[test]
    fn what_never_fits_is_the_central_part() {
        let crop = RandomResizedCrop {
            scale: [1.0, 1.0],
            ratio: [1.0, 1.0],
            ..RandomResizedCrop::default()
        };
        let window = |left, top, width, height| Window {
            left,
            top,
            width,
            height,
        };
        assert_eq!(parts(crop, (100, 41), 3), [window(29, 0, 41, 41); 3]);
        assert_eq!(parts(crop, (41, 100), 3), [window(0, 29, 41, 41); 3]);
        let wide = RandomResizedCrop {
            ratio: [0.1, 10.0],
            ..crop
        };
        assert_eq!(wide.central((100, 41)), window(0, 0, 100, 41));
        assert_eq!(
            RandomResizedCrop::default().central((1, 500)),
            window(0, 249, 1, 1)
        );
    }
}
