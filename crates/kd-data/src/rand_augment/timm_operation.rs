//! The operations of timm's RandAugment, and what a strength means to each.

use super::affine::{self, Pixels};
use super::{Operation, Sampling, colours};
use crate::Bitmap;

/// The greatest strength.
pub(super) const MOST: f64 = 10.0;

/// An operation on an image, computed as timm and Pillow do it, to the last bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimmOperation {
    /// Stretched so that each channel is from 0 to 255.
    AutoContrast,
    /// Each channel's histogram becomes as even as it can.
    Equalize,
    /// Every byte is turned round.
    Invert,
    /// Rotated about its centre, by degrees counterclockwise.
    Rotate,
    /// Only so many bits of a byte are kept.
    Posterize,
    /// Bytes of at least so much are turned round.
    Solarize,
    /// So much is added to bytes below 128.
    SolarizeAdd,
    /// So many times as far from grey.
    Color,
    /// So many times as far from the mean of its grey values.
    Contrast,
    /// Times so much.
    Brightness,
    /// So many times as far from a smoothed image.
    Sharpness,
    /// Row `y` is moved back by so many columns times `y`.
    ShearX,
    /// Column `x` is moved back by so many rows times `x`.
    ShearY,
    /// Moved back by such a share of its width.
    TranslateX,
    /// Moved back by such a share of its height.
    TranslateY,
}

impl TimmOperation {
    /// All operations, in timm's order.
    pub const ALL: [Self; 15] = [
        Self::AutoContrast,
        Self::Equalize,
        Self::Invert,
        Self::Rotate,
        Self::Posterize,
        Self::Solarize,
        Self::SolarizeAdd,
        Self::Color,
        Self::Contrast,
        Self::Brightness,
        Self::Sharpness,
        Self::ShearX,
        Self::ShearY,
        Self::TranslateX,
        Self::TranslateY,
    ];

    /// What [`TimmOperation::apply`] takes at a strength `level` from 0 to 10, in one of its two directions where it has
    /// two, and in its form that does more at a greater strength where it is `increasing`.
    pub fn argument(self, level: f64, increasing: bool, negative: bool) -> f64 {
        let share = level / MOST;
        let either = |value: f64| if negative { -value } else { value };
        match self {
            Self::AutoContrast | Self::Equalize | Self::Invert => 0.0,
            Self::Rotate => either(share * 30.0),
            Self::Posterize if increasing => 4.0 - (share * 4.0).trunc(),
            Self::Posterize => (share * 4.0).trunc(),
            Self::Solarize if increasing => 256.0 - (share * 256.0).trunc(),
            Self::Solarize => (share * 256.0).trunc(),
            Self::SolarizeAdd => (share * 110.0).trunc(),
            Self::Color | Self::Contrast | Self::Brightness | Self::Sharpness => match increasing {
                true => (1.0 + either(share * 0.9)).max(0.1),
                false => share * 1.8 + 0.1,
            },
            Self::ShearX | Self::ShearY => either(share * 0.3),
            Self::TranslateX | Self::TranslateY => either(share * 0.45),
        }
    }

    /// The image after the operation, by what [`TimmOperation::argument`] gives. Of the colour `outside`, a byte a
    /// channel, is what comes in.
    ///
    /// # Panics
    /// When `outside` has fewer channels than the image.
    pub fn apply(
        self,
        image: &Bitmap,
        argument: f64,
        sampling: Sampling,
        outside: &[u8],
    ) -> Bitmap {
        self.run(image, argument, Pixels { sampling, outside })
    }

    pub(super) fn run(self, image: &Bitmap, argument: f64, pixels: Pixels) -> Bitmap {
        let (width, height) = (image.width as f64, image.height as f64);
        match self {
            Self::AutoContrast => colours::autocontrast(image),
            Self::Equalize => colours::equalize(image),
            Self::Invert => image.changed(|_, byte| 255 - byte),
            Self::Rotate => affine::rotate(image, argument, pixels),
            Self::Posterize => colours::posterize(image, argument as u32),
            Self::Solarize => colours::solarize(image, argument),
            Self::SolarizeAdd => image.changed(|_, byte| match byte {
                0..128 => byte.saturating_add(argument as u8),
                _ => byte,
            }),
            Self::Color => Operation::Color.enhance(image, argument),
            Self::Contrast => Operation::Contrast.enhance(image, argument),
            Self::Brightness => Operation::Brightness.enhance(image, argument),
            Self::Sharpness => Operation::Sharpness.enhance(image, argument),
            Self::ShearX => affine::shear_back(image, (argument, 0.0), pixels),
            Self::ShearY => affine::shear_back(image, (0.0, argument), pixels),
            Self::TranslateX => affine::translate(image, (-argument * width, 0.0), pixels),
            Self::TranslateY => affine::translate(image, (0.0, -argument * height), pixels),
        }
    }
}
