//! A rectangle of a normalised image is erased.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::augment::range;
use crate::random::Stream;

/// Erases a rectangle of the normalised image (Z. Zhong et al., "Random Erasing Data Augmentation", AAAI 2020; the
/// defaults but for the probability are timm's and torchvision's).
///
/// Its area is a share of the image's that is uniform in `scale`, and the logarithm of its height over its width is
/// uniform in that of `ratio`. Where ten draws do not fit the image, nothing is erased.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    /// Share of the images in which a rectangle is erased. Default: 0.25.
    pub probability: f64,
    /// Least and most share of the image's area. Default: `[0.02, 0.33]`.
    pub scale: [f64; 2],
    /// Least and most height over width. Default: `[0.3, 3.3]`.
    pub ratio: [f64; 2],
    /// What the rectangle is filled with. Default: `const`.
    pub mode: ErasingMode,
}

/// What an erased rectangle is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasingMode {
    /// 0, which is the mean.
    #[default]
    Const,
    /// One colour, normally distributed.
    Rand,
    /// Normally distributed numbers, one a pixel and channel.
    Pixel,
}

impl Default for RandomErasing {
    fn default() -> Self {
        Self {
            probability: 0.25,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
            mode: ErasingMode::Const,
        }
    }
}

/// Draws before nothing is erased.
const TRIES: usize = 10;

impl RandomErasing {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        if !(0.0..=1.0).contains(&self.probability) {
            return Err(Error::config(
                "augment.random_erasing.probability",
                self.probability,
                "a share of the images, from 0 to 1, is wanted",
            ));
        }
        let key = "augment.random_erasing.scale";
        range(key, self.scale, 0.0, 1.0, "a share of the area")?;
        let key = "augment.random_erasing.ratio";
        range(key, self.ratio, 0.0, f64::INFINITY, "height over width")
    }

    /// Erases a part of `planes`, `[channels, height, width]`, or nothing.
    pub(crate) fn apply(
        &self,
        planes: &mut [f32],
        (height, width): (usize, usize),
        random: &mut Stream,
    ) {
        if random.unit() >= self.probability {
            return;
        }
        let logs = self.ratio.map(f64::ln);
        for _ in 0..TRIES {
            let area = (height * width) as f64 * random.between(self.scale);
            let ratio = random.between(logs).exp();
            let h = (area * ratio).sqrt().round_ties_even() as usize;
            let w = (area / ratio).sqrt().round_ties_even() as usize;
            if h < height && w < width {
                let (top, left) = (random.below(height - h + 1), random.below(width - w + 1));
                for plane in planes.chunks_exact_mut(height * width) {
                    let colour = self.number(ErasingMode::Rand, random);
                    for row in plane.chunks_exact_mut(width).skip(top).take(h) {
                        for value in &mut row[left..left + w] {
                            *value = colour + self.number(ErasingMode::Pixel, random);
                        }
                    }
                }
                return;
            }
        }
    }

    /// A random number in one mode, 0 in the others.
    fn number(&self, mode: ErasingMode, random: &mut Stream) -> f32 {
        if self.mode == mode {
            random.normal() as f32
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: (usize, usize) = (40, 50);

    fn erased(erasing: RandomErasing, index: u64) -> Vec<f32> {
        let mut planes = vec![7.0; 3 * SIZE.0 * SIZE.1];
        erasing.apply(&mut planes, SIZE, &mut Stream::new([1, 2, 3, index]));
        planes
    }

    #[test]
    fn rectangles_have_their_share_area_and_filling() {
        let of = |mode| RandomErasing {
            mode,
            ..RandomErasing::default()
        };
        let mut hit = 0;
        for index in 0..2000 {
            let planes = erased(of(ErasingMode::Const), index);
            let holes: Vec<usize> = planes
                .chunks_exact(SIZE.0 * SIZE.1)
                .map(|plane| plane.iter().filter(|value| **value != 7.0).count())
                .collect();
            assert!(holes.iter().all(|count| *count == holes[0]));
            if holes[0] == 0 {
                continue;
            }
            hit += 1;
            // Sides are rounded to whole pixels.
            let share = holes[0] as f64 / (SIZE.0 * SIZE.1) as f64;
            assert!((0.015..0.35).contains(&share), "{share}");
            let inside: Vec<usize> = (0..SIZE.0 * SIZE.1).filter(|&i| planes[i] == 0.0).collect();
            assert_eq!(inside.len(), holes[0], "the mean");
            let columns = inside.iter().map(|i| i % SIZE.1);
            let (left, right) = (columns.clone().min().unwrap(), columns.max().unwrap());
            let rows = inside[inside.len() - 1] / SIZE.1 - inside[0] / SIZE.1 + 1;
            assert_eq!(rows * (right - left + 1), inside.len(), "a rectangle");
        }
        // Five standard deviations around a quarter of 2,000.
        assert!((403..597).contains(&hit), "{hit}");
        let filled = |mode| -> Vec<f32> {
            let always = RandomErasing {
                probability: 1.0,
                ..of(mode)
            };
            let mut values = erased(always, 5);
            values.retain(|value| *value != 7.0);
            values.dedup();
            values
        };
        assert_eq!(filled(ErasingMode::Const), [0.0]);
        assert_eq!(filled(ErasingMode::Rand).len(), 3);
        assert!(filled(ErasingMode::Pixel).len() > 60);
        let never = RandomErasing {
            probability: 0.0,
            ..RandomErasing::default()
        };
        assert!((0..100).all(|index| erased(never, index).iter().all(|v| *v == 7.0)));
    }
}
