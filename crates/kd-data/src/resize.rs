//! Resizing as Pillow does it, to the last bit.
//!
//! A byte of the result is a weighted sum of the bytes around its place, along one axis and then along the other, each
//! rounded to a byte. Where an image becomes smaller the filter is as much wider, so that no pixel is left out ("antialias").
//! Weights are integers of 22 fractional bits. torchvision's `Resize` and timm's transforms call Pillow for this.

use std::f64::consts::PI;
use std::ops::Range;

use kd_files::Interpolation;

use crate::bitmap::{Bitmap, Window};

/// Half the width of a filter, in pixels of the larger image; none for the nearest pixel, which is no filter.
fn support(interpolation: Interpolation) -> Option<f64> {
    Some(match interpolation {
        Interpolation::Nearest => return None,
        Interpolation::Box => 0.5,
        Interpolation::Bilinear | Interpolation::Hamming => 1.0,
        Interpolation::Bicubic => 2.0,
        Interpolation::Lanczos => 3.0,
    })
}

/// A filter at the distance `x`.
fn weight(interpolation: Interpolation, x: f64) -> f64 {
    const A: f64 = -0.5;
    let (signed, x) = (x, x.abs());
    match interpolation {
        // One of two neighbours at the same distance counts.
        Interpolation::Box if signed > -0.5 && signed <= 0.5 => 1.0,
        Interpolation::Bilinear if x < 1.0 => 1.0 - x,
        Interpolation::Hamming if x < 1.0 => sinc(x) * (0.54 + 0.46 * (PI * x).cos()),
        Interpolation::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
        Interpolation::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
        Interpolation::Lanczos if x < 3.0 => sinc(x) * sinc(x / 3.0),
        _ => 0.0,
    }
}

/// `sin(πx) / πx`.
fn sinc(x: f64) -> f64 {
    match x == 0.0 {
        true => 1.0,
        false => (PI * x).sin() / (PI * x),
    }
}

/// Fractional bits of a weight: a byte, the sum of weights that are partly negative, and a sign fit 32 bits.
const BITS: u32 = 32 - 8 - 2;

/// What of the input one byte of the output is made of.
struct Sum {
    first: usize,
    weights: Vec<i32>,
}

/// The sums of the places `wanted` of an axis of `from` pixels that becomes one of `to` pixels.
fn sums(from: usize, to: usize, wanted: Range<usize>, interpolation: Interpolation) -> Vec<Sum> {
    let Some(support) = support(interpolation) else {
        return nearest(from, to, &wanted);
    };
    let scale = from as f64 / to as f64;
    let wider = scale.max(1.0);
    let support = support * wider;
    let shrink = 1.0 / wider;
    let sum = |place: usize| {
        let centre = (place as f64 + 0.5) * scale;
        // The conversion of a negative number gives 0.
        let first = (centre - support + 0.5) as usize;
        let end = ((centre + support + 0.5) as usize).min(from);
        let weight = |at: usize| weight(interpolation, (at as f64 - centre + 0.5) * shrink);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let total: f64 = weights.iter().sum();
        let fixed = |weight: f64| {
            let share = if total == 0.0 { weight } else { weight / total };
            let scaled = share * f64::from(1u32 << BITS);
            (scaled + 0.5_f64.copysign(scaled)) as i32
        };
        Sum {
            first,
            weights: weights.into_iter().map(fixed).collect(),
        }
    };
    wanted.map(sum).collect()
}

/// As [`sums`], of one pixel each: that in which the place's centre is. Centres are added up one by one, since that
/// decides where one falls on a border.
fn nearest(from: usize, to: usize, wanted: &Range<usize>) -> Vec<Sum> {
    let scale = from as f64 / to as f64;
    let centres = std::iter::successors(Some(scale * 0.5), |centre| Some(centre + scale));
    let of = |centre: f64| Sum {
        first: (centre as usize).min(from - 1),
        weights: vec![1 << BITS],
    };
    centres
        .take(wanted.end)
        .skip(wanted.start)
        .map(of)
        .collect()
}

fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// What of an axis the sums read, or all of `wanted` without any.
fn read(sums: Option<&Vec<Sum>>, wanted: Range<usize>) -> Range<usize> {
    let Some(sums) = sums else {
        return wanted;
    };
    let first = sums.iter().map(|sum| sum.first).min();
    let end = sums.iter().map(|sum| sum.first + sum.weights.len()).max();
    first.unwrap_or(0)..end.unwrap_or(0)
}

/// The part `window` of what an image becomes when it is resized to `(width, height)`.
pub(crate) fn resize(
    image: &Bitmap,
    (width, height): (usize, usize),
    window: Window,
    interpolation: Interpolation,
) -> Bitmap {
    let columns = window.left..window.left + window.width;
    let rows = window.top..window.top + window.height;
    let sums = |from, to, wanted: &Range<usize>| {
        (from != to).then(|| sums(from, to, wanted.clone(), interpolation))
    };
    let of_columns = sums(image.width, width, &columns);
    let of_rows = sums(image.height, height, &rows);
    let columns = read(of_columns.as_ref(), columns);
    let rows = read(of_rows.as_ref(), rows);
    let part = image.cut(Window {
        left: columns.start,
        top: rows.start,
        width: columns.len(),
        height: rows.len(),
    });
    let sum_columns = |image: Bitmap| match &of_columns {
        None => image,
        Some(sums) if image.channels == 1 => along_rows::<1>(&image, sums, columns.start),
        Some(sums) => along_rows::<3>(&image, sums, columns.start),
    };
    let sum_rows = |image: Bitmap| match &of_rows {
        None => image,
        Some(sums) => along_columns(&image, sums, rows.start),
    };
    if rows_first((image.width, image.height), (width, height)) {
        sum_columns(sum_rows(part))
    } else {
        sum_rows(sum_columns(part))
    }
}

/// Whether rows are summed before columns. Bytes between the two passes are rounded, so the order is part of the
/// result; it is that of Pillow 13.
fn rows_first(from: (usize, usize), to: (usize, usize)) -> bool {
    let [width, height] = [(from.0, to.0), (from.1, to.1)].map(|(a, b)| a as i64 - b as i64);
    height > 0 && height > 2 * width
}

/// Sums of pixels of a row, for every row of an image whose column 0 is the column `left` of what the sums are of.
fn along_rows<const C: usize>(image: &Bitmap, sums: &[Sum], left: usize) -> Bitmap {
    let mut bytes = Vec::with_capacity(image.height * sums.len() * C);
    for row in image.rows() {
        for sum in sums {
            let mut totals = [1i32 << (BITS - 1); C];
            let pixels = row[(sum.first - left) * C..].chunks_exact(C);
            for (pixel, &weight) in pixels.zip(&sum.weights) {
                for (total, &byte) in totals.iter_mut().zip(pixel) {
                    *total += i32::from(byte) * weight;
                }
            }
            bytes.extend(totals.map(byte));
        }
    }
    Bitmap {
        width: sums.len(),
        bytes,
        ..*image
    }
}

/// Sums of rows of an image whose row 0 is the row `top` of what the sums are of.
fn along_columns(image: &Bitmap, sums: &[Sum], top: usize) -> Bitmap {
    let length = image.width * image.channels;
    let mut bytes = Vec::with_capacity(sums.len() * length);
    let mut totals = vec![0i32; length];
    for sum in sums {
        totals.fill(1 << (BITS - 1));
        let rows = image.bytes[(sum.first - top) * length..].chunks_exact(length);
        for (row, &weight) in rows.zip(&sum.weights) {
            for (total, &byte) in totals.iter_mut().zip(row) {
                *total += i32::from(byte) * weight;
            }
        }
        bytes.extend(totals.iter().map(|&total| byte(total)));
    }
    Bitmap {
        height: sums.len(),
        bytes,
        ..*image
    }
}

impl Bitmap {
    /// The image resized to `(width, height)`, as `PIL.Image.resize` does it.
    ///
    /// # Panics
    /// When a side of the image or of the result is 0.
    pub fn resize(&self, (width, height): (usize, usize), interpolation: Interpolation) -> Self {
        let whole = Window {
            left: 0,
            top: 0,
            width,
            height,
        };
        assert!(
            ![self.width, self.height, width, height].contains(&0),
            "an image of no pixels"
        );
        resize(self, (width, height), whole, interpolation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_a_part_of_the_whole() {
        let image = Bitmap {
            width: 31,
            height: 23,
            channels: 3,
            bytes: (0..31 * 23 * 3).map(|i| (i * 37 % 251) as u8).collect(),
        };
        for interpolation in Interpolation::ALL {
            for size in [(17, 40), (31, 9), (12, 23), (31, 23), (64, 64)] {
                let whole = image.resize(size, interpolation);
                let window = Window {
                    left: size.0 / 3,
                    top: size.1 / 4,
                    width: size.0 / 2,
                    height: size.1 / 2,
                };
                let part = resize(&image, size, window, interpolation);
                assert_eq!(part, whole.cut(window), "{size:?}");
            }
        }
    }

    #[test]
    fn a_constant_stays_what_it_is() {
        let grey = |width, height| Bitmap {
            width,
            height,
            channels: 1,
            bytes: vec![201; width * height],
        };
        for interpolation in Interpolation::ALL {
            for size in [(1, 1), (50, 3), (400, 400)] {
                assert_eq!(
                    grey(13, 7).resize(size, interpolation),
                    grey(size.0, size.1)
                );
            }
        }
    }
}
