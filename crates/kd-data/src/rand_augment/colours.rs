//! Operations on the colours of an image.

use crate::Bitmap;

/// `from + factor · (to - from)`, cut off to a whole byte.
pub(super) fn blend(from: &Bitmap, to: &Bitmap, factor: f32) -> Bitmap {
    let mixed = |(&from, &to): (&u8, &u8)| {
        let (from, to) = (f32::from(from), f32::from(to));
        // The conversion cuts off what is no byte.
        (from + factor * (to - from)) as u8
    };
    Bitmap {
        bytes: from.bytes.iter().zip(&to.bytes).map(mixed).collect(),
        ..*to
    }
}

pub(super) fn black(image: &Bitmap) -> Bitmap {
    image.changed(|_, _| 0)
}

/// The luma of a pixel (ITU-R 601-2), rounded.
fn luma(pixel: &[u8]) -> u8 {
    match *pixel {
        [r, g, b] => {
            let [r, g, b] = [r, g, b].map(u32::from);
            ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
        }
        _ => pixel[0],
    }
}

/// Every pixel's luma in all of its channels.
pub(super) fn grey(image: &Bitmap) -> Bitmap {
    let pixels = image.bytes.chunks_exact(image.channels);
    Bitmap {
        bytes: pixels
            .flat_map(|pixel| std::iter::repeat_n(luma(pixel), image.channels))
            .collect(),
        ..*image
    }
}

/// The mean of all lumas everywhere.
pub(super) fn mean(image: &Bitmap) -> Bitmap {
    let pixels = image.bytes.chunks_exact(image.channels);
    let sum: u64 = pixels.map(|pixel| u64::from(luma(pixel))).sum();
    let mean = sum as f64 / (image.width * image.height) as f64;
    let mean = (mean + 0.5) as u8;
    image.changed(|_, _| mean)
}

/// Every pixel the mean of its neighbours, which count once, and of itself, which counts five times. Pixels at the
/// border stay as they are.
pub(super) fn smooth(image: &Bitmap) -> Bitmap {
    let mut bytes = image.bytes.clone();
    let (width, height, channels) = (image.width, image.height, image.channels);
    let at = |x: usize, y: usize, c: usize| u32::from(image.bytes[(y * width + x) * channels + c]);
    for y in 1..height.saturating_sub(1) {
        for x in 1..width.saturating_sub(1) {
            for c in 0..channels {
                let rows = (y - 1..=y + 1).map(|y| at(x - 1, y, c) + at(x, y, c) + at(x + 1, y, c));
                let sum = rows.sum::<u32>() + 4 * at(x, y, c);
                // sum / 13, rounded; it is never half way.
                bytes[(y * width + x) * channels + c] = ((2 * sum + 13) / 26) as u8;
            }
        }
    }
    Bitmap { bytes, ..*image }
}

/// Keeps the `bits` highest bits of every byte.
pub(super) fn posterize(image: &Bitmap, bits: u32) -> Bitmap {
    let mask = 0xff00_u16 >> bits.min(8);
    image.changed(|_, byte| byte & mask as u8)
}

/// Turns bytes of at least `threshold` round.
pub(super) fn solarize(image: &Bitmap, threshold: f64) -> Bitmap {
    image.changed(|_, byte| {
        if f64::from(byte) < threshold {
            byte
        } else {
            255 - byte
        }
    })
}

/// Stretches each channel so that it is from 0 to 255.
pub(super) fn autocontrast(image: &Bitmap) -> Bitmap {
    by_histogram(image, |histogram| {
        let used = |count: &u64| *count > 0;
        let low = histogram.iter().position(used)?;
        let high = histogram.iter().rposition(used)?;
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        Some(std::array::from_fn(|byte| {
            (byte as f64 * scale + offset) as u8
        }))
    })
}

/// Makes each channel's histogram as even as it can be.
pub(super) fn equalize(image: &Bitmap) -> Bitmap {
    by_histogram(image, |histogram| {
        let last = histogram.iter().rposition(|count| *count > 0)?;
        let step = histogram[..last].iter().sum::<u64>() / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        Some(histogram.map(|count| {
            let place = below / step;
            below += count;
            place.min(255) as u8
        }))
    })
}

/// Changes every channel by a table that follows from its histogram; none leaves it as it is.
fn by_histogram(image: &Bitmap, table: impl Fn([u64; 256]) -> Option<[u8; 256]>) -> Bitmap {
    let tables: Vec<_> = (0..image.channels)
        .map(|c| {
            let mut histogram = [0; 256];
            for &byte in image.bytes.iter().skip(c).step_by(image.channels) {
                histogram[usize::from(byte)] += 1;
            }
            table(histogram)
        })
        .collect();
    image.changed(|c, byte| tables[c].map_or(byte, |table| table[usize::from(byte)]))
}
