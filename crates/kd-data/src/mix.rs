//! Mixup and CutMix: images of a batch, and their labels, are mixed in pairs.

use burn::tensor::{Device, Tensor, TensorData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::random::Stream;

/// Mixes image `i` of a batch of `n` with image `n - 1 - i`, and their labels likewise, as timm does by batch.
///
/// With a share λ of the image's own: mixup is `λ · x + (1 - λ) · other` (H. Zhang et al., "mixup: Beyond Empirical
/// Risk Minimization", ICLR 2018), with λ from a beta distribution with both parameters `mixup_alpha`. CutMix puts a
/// rectangle of the other image in the same place, whose sides are `sqrt(1 - λ)` of the image's (S. Yun et al.,
/// "CutMix: Regularization Strategy to Train Strong Classifiers with Localizable Features", ICCV 2019), with λ by
/// `cutmix_alpha`; its labels have the share that is left of the image. One λ and one rectangle are drawn for a batch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mix {
    /// Both parameters of mixup's beta distribution; 0 for no mixup. Default: 0.
    pub mixup_alpha: f64,
    /// Both parameters of CutMix's beta distribution; 0 for no CutMix. Default: 0.
    pub cutmix_alpha: f64,
    /// Share of the batches that are mixed. Default: 1.
    pub prob: f64,
    /// Share of CutMix where both are on. Default: 0.5.
    pub switch_prob: f64,
}

impl Default for Mix {
    fn default() -> Self {
        Self {
            mixup_alpha: 0.0,
            cutmix_alpha: 0.0,
            prob: 1.0,
            switch_prob: 0.5,
        }
    }
}

/// Least and most parameter of a beta distribution: shares are 0 or 1 below, and a half above.
const ALPHA: [f64; 2] = [0.001, 1000.0];

/// What a batch was mixed of.
#[derive(Clone, Debug, PartialEq)]
pub struct Mixed {
    /// Share of each image's own.
    pub share: f32,
    /// Class of the other image of each, whose share is the rest.
    pub others: Vec<u32>,
    /// Number of classes.
    pub classes: usize,
}

/// How a batch is mixed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Draw {
    Mixup(f64),
    /// Rows and columns of the rectangle.
    CutMix([usize; 2], [usize; 2]),
}

impl Mix {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let alphas = [
            ("mix.mixup_alpha", self.mixup_alpha),
            ("mix.cutmix_alpha", self.cutmix_alpha),
        ];
        for (key, alpha) in alphas {
            if alpha != 0.0 && !(ALPHA[0]..=ALPHA[1]).contains(&alpha) {
                let [least, most] = ALPHA;
                let expected = format!("0 for none, or from {least} to {most}");
                return Err(Error::config(key, alpha, expected));
            }
        }
        if alphas.iter().all(|(_, alpha)| *alpha == 0.0) {
            return Err(Error::config(
                "mix.mixup_alpha",
                0,
                "with cutmix_alpha = 0 too, nothing is mixed; set one of them above 0, or leave [data.mix] out",
            ));
        }
        for (key, share) in [
            ("mix.prob", self.prob),
            ("mix.switch_prob", self.switch_prob),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::config(key, share, "a share, from 0 to 1, is wanted"));
            }
        }
        Ok(())
    }

    fn draw(&self, (height, width): (usize, usize), random: &mut Stream) -> Option<Draw> {
        if random.unit() >= self.prob {
            return None;
        }
        // Drawn whether it counts or not.
        let switched = random.unit() < self.switch_prob;
        if self.cutmix_alpha == 0.0 || (self.mixup_alpha > 0.0 && !switched) {
            return Some(Draw::Mixup(random.beta(self.mixup_alpha)));
        }
        let side = (1.0 - random.beta(self.cutmix_alpha)).sqrt();
        let mut span = |end: usize| {
            // As much on both sides of the centre, as in the authors' code, timm and torchvision.
            let half = (end as f64 * side) as usize / 2;
            let centre = random.below(end);
            [centre.saturating_sub(half), (centre + half).min(end)]
        };
        Some(Draw::CutMix(span(height), span(width)))
    }

    /// Mixes `pixels`, `[batch, channels, height, width]` of that `shape`; none where the batch stays as it is.
    /// `labels` are the classes of the images.
    pub(crate) fn apply(
        &self,
        pixels: &mut [f32],
        shape: [usize; 4],
        labels: &[u32],
        classes: usize,
        random: &mut Stream,
    ) -> Option<Mixed> {
        let [batch, channels, height, width] = shape;
        let draw = self.draw((height, width), random)?;
        let stride = channels * height * width;
        // An image in the middle is its own other one.
        let (front, back) = pixels.split_at_mut(batch / 2 * stride);
        let back = &mut back[batch % 2 * stride..];
        let pairs = front.par_chunks_exact_mut(stride);
        let share = match draw {
            Draw::Mixup(share) => {
                let (own, rest) = (share as f32, (1.0 - share) as f32);
                pairs
                    .zip(back.par_chunks_exact_mut(stride).rev())
                    .for_each(|(a, b)| {
                        for (a, b) in a.iter_mut().zip(b) {
                            (*a, *b) = (*a * own + *b * rest, *b * own + *a * rest);
                        }
                    });
                share
            }
            Draw::CutMix([top, bottom], [left, right]) => {
                pairs
                    .zip(back.par_chunks_exact_mut(stride).rev())
                    .for_each(|(a, b)| {
                        let rows = a.chunks_exact_mut(width).zip(b.chunks_exact_mut(width));
                        for (row, (a, b)) in rows.enumerate() {
                            if (top..bottom).contains(&(row % height)) {
                                a[left..right].swap_with_slice(&mut b[left..right]);
                            }
                        }
                    });
                1.0 - ((bottom - top) * (right - left)) as f64 / (height * width) as f64
            }
        };
        Some(Mixed {
            share: share as f32,
            others: labels.iter().rev().copied().collect(),
            classes,
        })
    }
}

impl Mixed {
    /// The share of every class in every image, `[batch, classes]`; `labels` are the images' own.
    pub fn rows(&self, labels: &[u32], device: &Device) -> Tensor<2> {
        let mut rows = vec![0.0; labels.len() * self.classes];
        let of = rows.chunks_exact_mut(self.classes.max(1));
        for (row, (&own, &other)) in of.zip(labels.iter().zip(&self.others)) {
            row[own as usize] += self.share;
            row[other as usize] += 1.0 - self.share;
        }
        Tensor::from_data(TensorData::new(rows, [labels.len(), self.classes]), device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 4] = [5, 2, 6, 8];

    fn mix(mixup_alpha: f64, cutmix_alpha: f64) -> Mix {
        Mix {
            mixup_alpha,
            cutmix_alpha,
            ..Mix::default()
        }
    }

    /// Images whose every value is their number, mixed.
    fn mixed(mix: Mix, index: u64) -> (Vec<f32>, Option<Mixed>) {
        let stride = SHAPE[1] * SHAPE[2] * SHAPE[3];
        let mut pixels: Vec<f32> = (0..5 * stride).map(|i| (i / stride) as f32).collect();
        let mut random = Stream::new([1, 2, 3, index]);
        let found = mix.apply(&mut pixels, SHAPE, &[0, 1, 2, 3, 3], 4, &mut random);
        (pixels, found)
    }

    #[test]
    fn mixup_is_its_formula() {
        for index in 0..50 {
            let (pixels, found) = mixed(mix(0.8, 0.0), index);
            let found = found.unwrap();
            for (i, image) in pixels.chunks_exact(96).enumerate() {
                let want = found.share * i as f32 + (1.0 - found.share) * (4 - i) as f32;
                assert!(
                    image.iter().all(|v| (v - want).abs() < 1e-6),
                    "{want}: {image:?}"
                );
            }
            assert_eq!(found.others, [3, 3, 2, 1, 0]);
            let rows = found.rows(&[0, 1, 2, 3, 3], &Device::flex()).into_data();
            let rows: Vec<f32> = rows.iter::<f32>().collect();
            assert_eq!(rows[..4], [found.share, 0.0, 0.0, 1.0 - found.share]);
            assert_eq!(rows[8..12], [0.0, 0.0, 1.0, 0.0], "with itself");
        }
    }

    #[test]
    fn cutmix_swaps_a_rectangle_and_counts_what_is_left() {
        let (mut areas, count) = (0.0, 2000);
        for index in 0..count {
            let (pixels, found) = mixed(mix(0.0, 1.0), index);
            let found = found.unwrap();
            let plane = &pixels[..48];
            assert_eq!(plane, &pixels[48..96], "every channel");
            let left = plane.iter().filter(|v| **v == 0.0).count();
            assert!((found.share - left as f32 / 48.0).abs() < 1e-6, "{found:?}");
            let swapped: Vec<usize> = (0..48).filter(|&i| plane[i] == 4.0).collect();
            assert_eq!(swapped.len() + left, 48);
            if let (Some(first), Some(last)) = (swapped.first(), swapped.last()) {
                let (rows, columns) = (last / 8 - first / 8 + 1, last % 8 + 1 - first % 8);
                assert_eq!(rows * columns, swapped.len(), "a rectangle");
            }
            assert_eq!(pixels[2 * 96..3 * 96], [2.0; 96], "with itself");
            areas += f64::from(found.share) / count as f64;
        }
        // A half without borders and whole pixels; with them the mean is 0.787 at 6×8.
        assert!((0.77..0.805).contains(&areas), "{areas}");
    }

    #[test]
    fn batches_are_mixed_as_often_as_was_asked_for() {
        let both = Mix {
            prob: 0.5,
            switch_prob: 0.25,
            ..mix(1.0, 1.0)
        };
        let draws: Vec<_> = (0..4000)
            .map(|index| both.draw((32, 32), &mut Stream::new([1, 2, 3, index])))
            .collect();
        let cut = |draw: &&Option<Draw>| matches!(draw, Some(Draw::CutMix(..)));
        let (mixed, cut) = (
            draws.iter().flatten().count(),
            draws.iter().filter(cut).count(),
        );
        // Five standard deviations.
        assert!((1842..2158).contains(&mixed), "{mixed}");
        assert!((395..605).contains(&cut), "{cut}");
    }

    #[test]
    fn mistakes_name_the_key_and_the_cure() {
        for (mix, part) in [
            (Mix::default(), "leave [data.mix] out"),
            (mix(-1.0, 0.0), "data.mix.mixup_alpha = -1: 0 for none"),
            (mix(0.2, f64::NAN), "data.mix.cutmix_alpha"),
            (
                Mix {
                    prob: 1.5,
                    ..mix(1.0, 0.0)
                },
                "data.mix.prob = 1.5",
            ),
            (
                Mix {
                    switch_prob: -0.1,
                    ..mix(1.0, 0.0)
                },
                "data.mix.switch_prob",
            ),
        ] {
            let error = mix.validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
