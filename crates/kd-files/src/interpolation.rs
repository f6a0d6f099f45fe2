//! How images are resized, as files name it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How the values between pixels are found when an image is resized: Pillow's filters, by its names. An image that
/// becomes smaller is filtered as much wider, so that no pixel is left out, except by `Nearest`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// The mean of the pixels under one of the result.
    Box,
    /// Linear in both directions: a filter of 2 pixels.
    #[default]
    Bilinear,
    /// A Hamming window of 2 pixels.
    Hamming,
    /// Cubic in both directions (Keys, 1981, with a = -0.5): a filter of 4 pixels.
    Bicubic,
    /// Lanczos's window of three lobes: a filter of 6 pixels.
    Lanczos,
}

impl Interpolation {
    /// Every filter.
    pub const ALL: [Self; 6] = [
        Self::Nearest,
        Self::Lanczos,
        Self::Bilinear,
        Self::Bicubic,
        Self::Box,
        Self::Hamming,
    ];

    /// Its name in a recipe, in timm, and in the header of weights.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Bilinear => "bilinear",
            Self::Hamming => "hamming",
            Self::Bicubic => "bicubic",
            Self::Lanczos => "lanczos",
        }
    }

    /// That of a name; none when there is no such.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// Its number in Pillow (`PIL.Image.Resampling`), as `transformers` writes it.
    pub fn in_pil(self) -> u32 {
        match self {
            Self::Nearest => 0,
            Self::Lanczos => 1,
            Self::Bilinear => 2,
            Self::Bicubic => 3,
            Self::Box => 4,
            Self::Hamming => 5,
        }
    }

    /// That of a number of Pillow; none when there is no such.
    pub fn of_pil(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.in_pil() == number)
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_one_each() {
        for (number, filter) in Interpolation::ALL.into_iter().enumerate() {
            assert_eq!(filter.in_pil() as usize, number);
            assert_eq!(Interpolation::of_pil(filter.in_pil()), Some(filter));
            assert_eq!(Interpolation::named(filter.name()), Some(filter));
        }
        assert_eq!(Interpolation::of_pil(6), None);
        assert_eq!(Interpolation::named("random"), None);
    }
}
