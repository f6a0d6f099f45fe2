//! Changes of colour.

use crate::random::Stream;
use crate::{Bitmap, Operation};

/// Brightness, contrast, saturation and hue by random factors, and the channels in another order: each with the
/// probability `probability`. Contrast comes before saturation and hue, or after them. Grey images change in
/// brightness and contrast alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Photometric {
    /// The probability of each change.
    pub probability: f64,
    /// Factors of the brightness.
    pub brightness: [f64; 2],
    /// Factors of the contrast.
    pub contrast: [f64; 2],
    /// Factors of the saturation.
    pub saturation: [f64; 2],
    /// Shifts of the hue, in turns.
    pub hue: [f64; 2],
}

impl Default for Photometric {
    /// SSD's, as torchvision's reference has it.
    fn default() -> Self {
        Self {
            probability: 0.5,
            brightness: [0.875, 1.125],
            contrast: [0.5, 1.5],
            saturation: [0.5, 1.5],
            hue: [-0.05, 0.05],
        }
    }
}

impl Photometric {
    pub(super) fn apply(&self, mut image: Bitmap, random: &mut Stream) -> Bitmap {
        let happens = |random: &mut Stream| random.unit() < self.probability;
        let change =
            |image: Bitmap, of: Operation, factors: [f64; 2], random: &mut Stream| match happens(
                random,
            ) {
                true => of.enhance(&image, random.between(factors)),
                false => image,
            };
        image = change(image, Operation::Brightness, self.brightness, random);
        let contrast_first = random.unit() < 0.5;
        if contrast_first {
            image = change(image, Operation::Contrast, self.contrast, random);
        }
        if image.channels == 3 {
            image = change(image, Operation::Color, self.saturation, random);
            if happens(random) {
                image = turned(&image, random.between(self.hue));
            }
        }
        if !contrast_first {
            image = change(image, Operation::Contrast, self.contrast, random);
        }
        if image.channels == 3 && happens(random) {
            let mut order = [0, 1, 2];
            random.shuffle(&mut order);
            for pixel in image.bytes.as_chunks_mut::<3>().0 {
                *pixel = order.map(|channel| pixel[channel]);
            }
        }
        image
    }
}

/// An image of three channels with its hue turned by a part of the circle.
fn turned(image: &Bitmap, turn: f64) -> Bitmap {
    let mut turned = image.clone();
    for pixel in turned.bytes.as_chunks_mut::<3>().0 {
        *pixel = of_pixel(*pixel, turn as f32);
    }
    turned
}

/// The hexagonal model of hue, saturation and value (Smith, SIGGRAPH 1978).
fn of_pixel(pixel: [u8; 3], turn: f32) -> [u8; 3] {
    let [r, g, b] = pixel.map(f32::from);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range == 0.0 {
        return pixel;
    }
    let sixth = if most == r {
        (g - b) / range
    } else if most == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    let hue = (sixth + 6.0 * turn).rem_euclid(6.0);
    let channel = |from: f32| {
        let at = (from + hue).rem_euclid(6.0);
        (most - range * at.min(4.0 - at).clamp(0.0, 1.0)).round() as u8
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_third_of_a_turn_takes_red_to_green_and_grey_has_no_hue() {
        assert_eq!(of_pixel([200, 40, 40], 1.0 / 3.0), [40, 200, 40]);
        assert_eq!(of_pixel([200, 40, 40], -1.0 / 3.0), [40, 40, 200]);
        assert_eq!(of_pixel([77, 77, 77], 0.3), [77, 77, 77]);
        for pixel in [[12, 200, 99], [255, 0, 1], [3, 2, 250]] {
            assert_eq!(of_pixel(pixel, 0.0), pixel);
        }
    }
}
