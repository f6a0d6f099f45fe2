//! The operations of RandAugment, and how strong each is.

use super::affine::{self, Pixels, Sampling};
use super::colours;
use crate::Bitmap;
use crate::random::Stream;

/// An operation on an image, computed as torchvision and Pillow do it, to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The image as it is.
    Identity,
    /// Row `y` is moved by `strength · y` columns.
    ShearX,
    /// Column `x` is moved by `strength · x` rows.
    ShearY,
    /// Moved by so many columns.
    TranslateX,
    /// Moved by so many rows.
    TranslateY,
    /// Rotated about its centre, by degrees counterclockwise.
    Rotate,
    /// Times `1 + strength`.
    Brightness,
    /// Away from grey, `1 + strength` times as far; 0 is grey.
    Color,
    /// Away from the mean of its grey values, `1 + strength` times as far.
    Contrast,
    /// Away from a smoothed image, `1 + strength` times as far.
    Sharpness,
    /// Only so many bits of a byte are kept.
    Posterize,
    /// Bytes of at least `strength` are turned round.
    Solarize,
    /// Stretched so that each channel is from 0 to 255.
    AutoContrast,
    /// Each channel's histogram becomes as even as it can.
    Equalize,
}

impl Operation {
    /// All operations, in torchvision's order.
    pub const ALL: [Self; 14] = [
        Self::Identity,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
        Self::Rotate,
        Self::Brightness,
        Self::Color,
        Self::Contrast,
        Self::Sharpness,
        Self::Posterize,
        Self::Solarize,
        Self::AutoContrast,
        Self::Equalize,
    ];

    /// Whether it has two directions.
    pub fn is_signed(self) -> bool {
        use Operation::{
            Brightness, Color, Contrast, Rotate, Sharpness, ShearX, ShearY, TranslateX, TranslateY,
        };
        matches!(
            self,
            ShearX
                | ShearY
                | TranslateX
                | TranslateY
                | Rotate
                | Brightness
                | Color
                | Contrast
                | Sharpness
        )
    }

    /// The strength `magnitude` of `bins` for an image of `(width, height)`, without its sign.
    pub fn strength(self, magnitude: usize, bins: usize, (width, height): (usize, usize)) -> f64 {
        let upto = |most: f64| spaced(0.0, most as f32, magnitude, bins);
        match self {
            Self::Identity | Self::AutoContrast | Self::Equalize => 0.0,
            Self::ShearX | Self::ShearY => upto(0.3),
            Self::TranslateX => upto(150.0 / 331.0 * width as f64),
            Self::TranslateY => upto(150.0 / 331.0 * height as f64),
            Self::Rotate => upto(30.0),
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => upto(0.9),
            Self::Posterize => bits(magnitude, bins, 4.0),
            Self::Solarize => spaced(255.0, 0.0, magnitude, bins),
        }
    }

    /// As [`Operation::strength`], of [`TrivialAugment`](crate::TrivialAugment), which goes further.
    pub fn wide_strength(self, magnitude: usize, bins: usize) -> f64 {
        let upto = |most: f32| spaced(0.0, most, magnitude, bins);
        match self {
            Self::Identity | Self::AutoContrast | Self::Equalize => 0.0,
            Self::TranslateX | Self::TranslateY => upto(32.0),
            Self::Rotate => upto(135.0),
            Self::Posterize => bits(magnitude, bins, 6.0),
            Self::Solarize => spaced(255.0, 0.0, magnitude, bins),
            _ => upto(0.99),
        }
    }

    /// A strength in a random direction, where there are two. A direction is drawn whether it counts or not.
    pub(crate) fn either_way(self, strength: f64, random: &mut Stream) -> f64 {
        let negative = random.below(2) == 1;
        match negative && self.is_signed() {
            true => -strength,
            false => strength,
        }
    }

    /// The image after the operation at a strength, with its sign.
    pub fn apply(self, image: &Bitmap, strength: f64, sampling: Sampling) -> Bitmap {
        let pixels = Pixels::on_black(sampling);
        match self {
            Self::Identity => image.clone(),
            Self::ShearX => affine::shear(image, (strength, 0.0), pixels),
            Self::ShearY => affine::shear(image, (0.0, strength), pixels),
            Self::TranslateX => affine::translate(image, (strength.trunc(), 0.0), pixels),
            Self::TranslateY => affine::translate(image, (0.0, strength.trunc()), pixels),
            Self::Rotate => affine::rotate(image, strength, pixels),
            Self::Brightness | Self::Color | Self::Contrast | Self::Sharpness => {
                self.enhance(image, 1.0 + strength)
            }
            Self::Posterize => colours::posterize(image, strength as u32),
            Self::Solarize => colours::solarize(image, strength),
            Self::AutoContrast => colours::autocontrast(image),
            Self::Equalize => colours::equalize(image),
        }
    }

    /// Brightness, colour, contrast or sharpness times `factor`: 1 changes nothing, 0 leaves nothing of it. The
    /// image as it is for the other operations.
    pub(crate) fn enhance(self, image: &Bitmap, factor: f64) -> Bitmap {
        let without = match self {
            Self::Brightness => colours::black(image),
            Self::Color => colours::grey(image),
            Self::Contrast => colours::mean(image),
            Self::Sharpness => colours::smooth(image),
            _ => return image.clone(),
        };
        colours::blend(&without, image, factor as f32)
    }
}

/// Bits that are left, from 8 at the strength 0 down by `most`.
fn bits(magnitude: usize, bins: usize, most: f64) -> f64 {
    let taken = magnitude as f32 / ((bins - 1) as f64 / most) as f32;
    f64::from(8.0 - taken.round_ties_even())
}

/// Number `at` of `count` evenly spaced ones, computed at single precision from the nearer end, as PyTorch does.
fn spaced(start: f32, end: f32, at: usize, count: usize) -> f64 {
    let step = (end - start) / (count - 1) as f32;
    let value = if at < count / 2 {
        start + step * at as f32
    } else {
        end - step * (count - 1 - at) as f32
    };
    f64::from(value)
}
