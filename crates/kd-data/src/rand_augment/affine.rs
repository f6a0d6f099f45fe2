//! Shearing, moving and rotating an image.

use serde::{Deserialize, Serialize};

use crate::Bitmap;

/// What a pixel between pixels is, where an image is sheared, moved or rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// The nearest pixel.
    #[default]
    Nearest,
    /// Linear in both directions between four pixels.
    Bilinear,
    /// Cubic in both directions between sixteen pixels.
    Bicubic,
}

/// How the pixels of a sheared, moved or rotated image are found.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a> {
    pub sampling: Sampling,
    /// The colour of what comes in, a byte a channel.
    pub outside: &'a [u8],
}

impl Pixels<'_> {
    /// What comes in is black.
    pub fn on_black(sampling: Sampling) -> Self {
        Self {
            sampling,
            outside: &[0; 3],
        }
    }
}

/// From a place in the result, `(x, y)`, to one in the image: `(a·x + b·y + c, d·x + e·y + f)`.
type Matrix = [f64; 6];

/// Row `y` is moved by `by.0 · y` columns, column `x` by `by.1 · x` rows; one of the two is 0.
pub(super) fn shear(image: &Bitmap, by: (f64, f64), pixels: Pixels) -> Bitmap {
    // The strength becomes an angle and its tangent again, as in torchvision.
    let tangent = |by: f64| by.atan().to_degrees().to_radians();
    let (x, y) = (tangent(by.0), tangent(by.1));
    let b = -(-y).cos() * x.tan() / y.cos();
    let c = (-y).sin() / y.cos();
    let d = -(-y).sin() * x.tan() / y.cos() + 1.0;
    transform(image, [d, -b, 0.0, -c, (-y).cos() / y.cos(), 0.0], pixels)
}

/// As [`shear`], in the other direction and without a detour by angles, as timm does it.
pub(super) fn shear_back(image: &Bitmap, by: (f64, f64), pixels: Pixels) -> Bitmap {
    transform(image, [1.0, by.0, 0.0, by.1, 1.0, 0.0], pixels)
}

/// Moved by columns and rows.
pub(super) fn translate(image: &Bitmap, by: (f64, f64), pixels: Pixels) -> Bitmap {
    transform(image, [1.0, 0.0, -by.0, 0.0, 1.0, -by.1], pixels)
}

/// Rotated about its centre, by degrees counterclockwise.
pub(super) fn rotate(image: &Bitmap, degrees: f64, pixels: Pixels) -> Bitmap {
    let degrees = degrees.rem_euclid(360.0);
    if degrees == 0.0 {
        return image.clone();
    }
    let angle = -degrees.to_radians();
    let (cos, sin) = (to_15_places(angle.cos()), to_15_places(angle.sin()));
    let (x, y) = (image.width as f64 / 2.0, image.height as f64 / 2.0);
    let c = cos * -x + sin * -y + x;
    let f = -sin * -x + cos * -y + y;
    transform(image, [cos, sin, c, -sin, cos, f], pixels)
}

/// Rounded to 15 decimal places, as Pillow does it with what an angle becomes.
fn to_15_places(value: f64) -> f64 {
    format!("{value:.15}").parse().unwrap_or(value)
}

fn transform(image: &Bitmap, matrix: Matrix, pixels: Pixels) -> Bitmap {
    let (Pixels { sampling, outside }, [_, b, _, d, ..]) = (pixels, matrix);
    match sampling {
        Sampling::Bilinear => filtered(image, matrix, outside, bilinear),
        Sampling::Bicubic => filtered(image, matrix, outside, bicubic),
        Sampling::Nearest if b == 0.0 && d == 0.0 => unturned(image, matrix, outside),
        Sampling::Nearest => nearest(image, matrix, outside),
    }
}

/// Whether a place is one of `0..side`.
fn inside(place: i64, side: usize) -> Option<i64> {
    (0..side as i64).contains(&place).then_some(place)
}

/// The nearest pixel, where columns stay columns.
fn unturned(image: &Bitmap, [a, _, c, _, e, f]: Matrix, outside: &[u8]) -> Bitmap {
    let places = |start: f64, step: f64, side: usize| -> Vec<Option<i64>> {
        // Added up, because rounding then is that of Pillow.
        let all = std::iter::successors(Some(start + step * 0.5), |place| Some(place + step));
        all.take(side)
            .map(|place| inside(place.floor() as i64, side))
            .collect()
    };
    let (columns, rows) = (places(c, a, image.width), places(f, e, image.height));
    image.mapped(outside, |x, y| columns[x as usize].zip(rows[y as usize]))
}

/// The nearest pixel, with 16 fractional bits of a place.
fn nearest(image: &Bitmap, [a, b, c, d, e, f]: Matrix, outside: &[u8]) -> Bitmap {
    let fixed = |value: f64| (value * 65_536.0 + 0.5).floor() as i64;
    let start = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let [a, b, d, e] = [a, b, d, e].map(fixed);
    image.mapped(outside, |x, y| {
        let column = inside((start.0 + a * x + b * y) >> 16, image.width)?;
        let row = inside((start.1 + d * x + e * y) >> 16, image.height)?;
        Some((column, row))
    })
}

/// By a filter of the pixels around a place.
fn filtered(
    image: &Bitmap,
    [a, b, c, d, e, f]: Matrix,
    outside: &[u8],
    filter: impl Fn(&Bitmap, f64, f64, &mut [u8]),
) -> Bitmap {
    let mut result = image.of_one_colour(outside);
    let mut pixels = result.bytes.chunks_exact_mut(image.channels);
    let (width, height) = (image.width as f64, image.height as f64);
    for y in 0..image.height {
        for (x, pixel) in (0..image.width).zip(&mut pixels) {
            let (x, y) = (x as f64 + 0.5, y as f64 + 0.5);
            let (column, row) = (a * x + b * y + c, d * x + e * y + f);
            if (0.0..width).contains(&column) && (0.0..height).contains(&row) {
                filter(image, column - 0.5, row - 0.5, pixel);
            }
        }
    }
    result
}

/// The `N` places around `at` of an axis of `side` pixels, the first `before` of them left of it, and how far it is
/// behind the last of these. Places outside are those at the border.
fn around<const N: usize>(at: f64, before: f64, side: usize) -> ([usize; N], f64) {
    let clip = |place: f64| (place.max(0.0) as usize).min(side - 1);
    let first = at.floor() - (before - 1.0);
    let places = std::array::from_fn(|i| clip(first + i as f64));
    (places, at - at.floor())
}

/// Writes the pixel at a place, between the four around it; whole numbers are centres of pixels.
fn bilinear(image: &Bitmap, x: f64, y: f64, pixel: &mut [u8]) {
    let (columns, dx) = around::<2>(x, 1.0, image.width);
    let (rows, dy) = around::<2>(y, 1.0, image.height);
    let mix = |[a, b]: [f64; 2], share: f64| a + (b - a) * share;
    for (c, value) in pixel.iter_mut().enumerate() {
        let at = |x: usize, y: usize| f64::from(image.pixel(x, y)[c]);
        let lines = rows.map(|row| mix(columns.map(|column| at(column, row)), dx));
        *value = mix(lines, dy) as u8;
    }
}

/// As [`bilinear`], between the sixteen pixels around a place (a cubic with a = -1, in Pillow's order of sums).
fn bicubic(image: &Bitmap, x: f64, y: f64, pixel: &mut [u8]) {
    let (columns, dx) = around::<4>(x, 2.0, image.width);
    let (rows, dy) = around::<4>(y, 2.0, image.height);
    let mix = |[a, b, c, d]: [f64; 4], share: f64| {
        let (first, second, third) = (c - a, 2.0 * (a - b) + c - d, b - a - c + d);
        b + share * (first + share * (second + share * third))
    };
    for (c, value) in pixel.iter_mut().enumerate() {
        let at = |x: usize, y: usize| f64::from(image.pixel(x, y)[c]);
        let lines = rows.map(|row| mix(columns.map(|column| at(column, row)), dx));
        // The conversion cuts off what is no byte.
        *value = mix(lines, dy) as u8;
    }
}
