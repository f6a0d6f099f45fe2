//! Images normalised for another network.

use burn::tensor::{Tensor, TensorData};

use crate::Error;

/// Changes images that were normalised with one mean `m` and standard deviation `s` into what another mean
/// `n` and deviation `t` would have made of the same pixels `p`, a channel at a time:
/// `(p - n) / t = x · s / t + (m - n) / t` for `x = (p - m) / s`.
#[derive(Clone, Debug, PartialEq)]
pub struct Standardise {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Standardise {
    /// From images normalised with `given` to images normalised with `own`, each mean and standard deviation
    /// of every channel, in units of 255.
    ///
    /// # Errors
    /// [`Error::Statistics`] when there is not one finite mean and one finite deviation above 0 for each of
    /// so many `channels`.
    pub fn new(
        given: (&[f32], &[f32]),
        own: (&[f32], &[f32]),
        channels: usize,
    ) -> Result<Self, Error> {
        for (mean, std) in [given, own] {
            let counts = mean.len() == channels && std.len() == channels;
            let above = std.iter().all(|s| s.is_finite() && *s > 0.0);
            if !(counts && above && mean.iter().all(|m| m.is_finite())) {
                return Err(Error::Statistics {
                    mean: mean.to_vec(),
                    std: std.to_vec(),
                    expected: format!(
                        "one finite mean and one standard deviation above 0 for each of {channels} channels"
                    ),
                });
            }
        }
        let each = || given.0.iter().zip(given.1).zip(own.0.iter().zip(own.1));
        Ok(Self {
            scale: each().map(|((_, s), (_, t))| s / t).collect(),
            shift: each().map(|((m, _), (n, t))| (m - n) / t).collect(),
        })
    }

    /// Images `[batch, channels, height, width]`, changed.
    pub(crate) fn apply(&self, images: Tensor<4>) -> Tensor<4> {
        let device = images.device();
        let channel = |values: &[f32]| {
            let data = TensorData::new(values.to_vec(), [1, values.len(), 1, 1]);
            Tensor::<4>::from_data(data, &device)
        };
        images * channel(&self.scale) + channel(&self.shift)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn the_same_pixels_come_out_as_the_other_statistics_make_them() {
        let device = Device::flex();
        let pixels = [[0.0_f32, 0.2], [0.5, 1.0]];
        let (given, own) = (([0.5, 0.4], [0.2, 0.3]), ([0.485, 0.1], [0.229, 0.9]));
        let normalised = |(mean, std): ([f32; 2], [f32; 2])| -> Vec<f32> {
            let channel = |c: usize| pixels[c].map(|p| (p - mean[c]) / std[c]);
            [channel(0), channel(1)].concat()
        };
        let tensor = TensorData::new(normalised(given), [1, 2, 1, 2]);
        let standardise = Standardise::new((&given.0, &given.1), (&own.0, &own.1), 2).unwrap();
        let changed = standardise.apply(Tensor::from_data(tensor, &device));
        let changed: Vec<f32> = changed.into_data().iter().collect();
        for (found, wanted) in changed.iter().zip(normalised(own)) {
            assert!((found - wanted).abs() < 1e-6, "{found} {wanted}");
        }
    }

    #[test]
    fn statistics_that_do_not_suit_are_refused() {
        let fine: (&[f32], &[f32]) = (&[0.5], &[0.5]);
        let wrong: [(&[f32], &[f32]); 3] = [
            (&[0.5, 0.5], &[0.5]),
            (&[0.5], &[0.0]),
            (&[f32::NAN], &[0.5]),
        ];
        for own in wrong {
            let message = Standardise::new(fine, own, 1).unwrap_err().to_string();
            assert!(message.contains("each of 1 channels"), "{message}");
        }
    }
}
