//! The shape of a vision transformer.

use crate::Error;

/// The shape of a vision transformer, for [`Network::vit`](crate::Network::vit). The registered names have theirs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct VitConfig {
    /// Height and width of a patch in pixels.
    pub patch: usize,
    /// Width of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Number of attention heads; it divides the width.
    pub heads: usize,
    /// Width inside the perceptron of a block.
    pub hidden: usize,
    /// Whether it has DeiT's distillation token and a second classifier for it.
    pub distilled: bool,
    /// What LayerScale's factors start with; none without LayerScale.
    pub layer_scale: Option<f64>,
    /// What the classifier reads.
    pub pooling: VitPooling,
    /// What training drops.
    pub dropout: VitDropout,
}

/// A shape, and the images that it was made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VitDesign {
    pub shape: VitConfig,
    /// Height and width in pixels.
    pub image_size: usize,
}

/// What the classifier of a vision transformer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VitPooling {
    /// The class token after the last layer normalisation.
    Token,
    /// The layer normalisation of the mean over the patches (timm's `global_pool='avg'`).
    Mean,
    /// The class token beside the mean over the patches, both after the last layer normalisation: twice the width
    /// (the linear heads of DINOv2).
    TokenAndMean,
}

/// Shares of what training drops; evaluation drops nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct VitDropout {
    /// Dropout after the positions, after an attention's projection, and after both layers of a perceptron.
    pub hidden: f64,
    /// Dropout of attention probabilities.
    pub attention: f64,
    /// Stochastic depth (Huang et al., ECCV 2016): the share of samples that pass the last block unchanged by a branch.
    /// The blocks before it rise to this share in equal steps from 0.
    pub path: f64,
}

impl VitConfig {
    /// A class token, no LayerScale, nothing dropped; four times the width inside the perceptrons.
    pub const fn new(patch: usize, width: usize, depth: usize, heads: usize) -> Self {
        Self {
            patch,
            width,
            depth,
            heads,
            hidden: 4 * width,
            distilled: false,
            layer_scale: None,
            pooling: VitPooling::Token,
            dropout: VitDropout {
                hidden: 0.0,
                attention: 0.0,
                path: 0.0,
            },
        }
    }

    /// The same with DeiT's distillation token.
    #[must_use]
    pub const fn distilled(self) -> Self {
        Self {
            distilled: true,
            ..self
        }
    }

    /// Tokens that are no patches.
    pub(crate) fn leading(&self) -> usize {
        1 + usize::from(self.distilled)
    }

    /// What the classifier reads, in numbers.
    pub(crate) fn embedding(&self) -> usize {
        match self.pooling {
            VitPooling::Token | VitPooling::Mean => self.width,
            VitPooling::TokenAndMean => 2 * self.width,
        }
    }

    /// Patches along a side of an image of `size` pixels.
    ///
    /// # Errors
    /// [`Error::Config`] for a shape that cannot be, and for a size that patches do not fill; [`Error::Share`].
    pub(crate) fn grid(&self, size: usize, model: &str) -> Result<usize, Error> {
        self.check()?;
        filled(self.patch, size, model)
    }

    fn check(&self) -> Result<(), Error> {
        for (key, value) in [
            ("patch", self.patch),
            ("width", self.width),
            ("depth", self.depth),
            ("heads", self.heads),
            ("hidden", self.hidden),
        ] {
            if value == 0 {
                return Err(Error::Config {
                    key,
                    value,
                    expected: "at least 1".into(),
                });
            }
        }
        if !self.width.is_multiple_of(self.heads) {
            return Err(Error::Config {
                key: "heads",
                value: self.heads,
                expected: format!(
                    "heads share the width, {}: give one of its divisors",
                    self.width
                ),
            });
        }
        if self.distilled && self.pooling != VitPooling::Token {
            return Err(Error::Config {
                key: "distilled",
                value: 1,
                expected: "a distillation token has a classifier of its own, which reads that token: pool by \
                           `VitPooling::Token`"
                    .into(),
            });
        }
        let VitDropout {
            hidden,
            attention,
            path,
        } = self.dropout;
        for (key, value) in [
            ("dropout.hidden", hidden),
            ("dropout.attention", attention),
            ("dropout.path", path),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(Error::Share { key, value });
            }
        }
        Ok(())
    }
}

/// Patches along a side of an image of `size` pixels.
///
/// # Errors
/// [`Error::Config`] for a size that patches do not fill.
pub(crate) fn filled(patch: usize, size: usize, model: &str) -> Result<usize, Error> {
    if size == 0 || !size.is_multiple_of(patch) {
        let nearest = (size + patch / 2) / patch * patch;
        return Err(Error::Config {
            key: "size",
            value: size,
            expected: format!(
                "`{model}` cuts images into patches of {patch}x{patch} pixels; give it a multiple of {patch}, such as {}",
                nearest.max(patch)
            ),
        });
    }
    Ok(size / patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_is_refused_by_key() {
        let good = VitConfig::new(8, 48, 3, 4);
        assert_eq!(good.grid(32, "v").unwrap(), 4);
        let says = |config: VitConfig, size| config.grid(size, "v").unwrap_err().to_string();
        let of = |size| says(good, size);
        assert!(
            of(30).starts_with("size = 30: `v` cuts images"),
            "{}",
            of(30)
        );
        assert!(of(30).ends_with("such as 32"), "{}", of(30));
        assert!(of(0).ends_with("such as 8"), "{}", of(0));
        let wrong = [
            (VitConfig { patch: 0, ..good }, "patch = 0"),
            (VitConfig { depth: 0, ..good }, "depth = 0"),
            (
                VitConfig { heads: 5, ..good },
                "heads = 5: heads share the width, 48",
            ),
            (
                VitConfig {
                    pooling: VitPooling::Mean,
                    ..good.distilled()
                },
                "distilled = 1",
            ),
        ];
        for (config, start) in wrong {
            assert!(says(config, 32).starts_with(start), "{}", says(config, 32));
        }
        for share in [1.0, -0.1, f64::NAN] {
            let dropout = VitDropout {
                path: share,
                ..VitDropout::default()
            };
            let message = says(VitConfig { dropout, ..good }, 32);
            assert!(message.starts_with("dropout.path = "), "{message}");
        }
    }
}
