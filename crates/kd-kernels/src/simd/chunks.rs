//! Pixels in chunks that several threads work on.
//!
//! The chunks depend on the sizes alone and not on the number of threads, so neither do sums.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::{OutPtr, Size};

/// Values of a chunk; it stays in a first- or second-level cache between two readings.
const VALUES: usize = 1 << 14;

/// Pixels of a chunk.
pub(crate) fn pixels(channels: usize) -> usize {
    (VALUES / channels.max(1)).max(1)
}

/// Runs `work(first pixel, count)` for all pixels.
pub(crate) fn each(size: Size, work: impl Fn(usize, usize) + Sync) {
    let (total, step) = (size.pixels(), pixels(size.channels));
    (0..total.div_ceil(step))
        .into_par_iter()
        .for_each(|index| work(index * step, (total - index * step).min(step)));
}

/// Pixels of a task that moves values.
pub(crate) const MOVED: usize = 1024;

/// Runs `work(pixel, its output channels)` for all pixels of an output.
pub(crate) fn each_pixel(
    size: Size,
    y: OutPtr,
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) {
    // No instruction set is asked for here, which else counts.
    crate::mode::called();
    let (pixels, channels) = (size.pixels(), size.channels);
    y.check(size.len());
    (0..pixels.div_ceil(MOVED))
        .into_par_iter()
        .for_each(|task| {
            for pixel in task * MOVED..((task + 1) * MOVED).min(pixels) {
                // SAFETY: the pixel is one of the size's, and this task alone has it.
                work(pixel, unsafe { y.part(pixel * channels, channels) });
            }
        });
}

/// Sums over all pixels of `width` values a chunk, which `work(first pixel, count, sums)` adds to zeros.
/// The chunks' sums are added in double precision.
pub(crate) fn sums(
    size: Size,
    width: usize,
    work: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f64> {
    let mut sums = vec![0.0f64; width];
    for partial in partial(size, width, work).chunks(width.max(1)) {
        for (sum, value) in sums.iter_mut().zip(partial) {
            *sum += f64::from(*value);
        }
    }
    sums
}

/// What `work(first pixel, count, values)` makes of `width` zeros for each chunk, one after another.
pub(crate) fn partial(
    size: Size,
    width: usize,
    work: impl Fn(usize, usize, &mut [f32]) + Sync,
) -> Vec<f32> {
    let (total, step) = (size.pixels(), pixels(size.channels));
    let mut partial = vec![0.0f32; total.div_ceil(step) * width];
    partial
        .par_chunks_mut(width.max(1))
        .enumerate()
        .for_each(|(index, partial)| {
            let first = index * step;
            work(first, (total - first).min(step), partial);
        });
    partial
}

/// A value of each image, and `len` numbers for its gradient, which `work(image, value, numbers)` makes of
/// zeros.
pub(crate) fn images(
    batch: usize,
    len: usize,
    work: impl Fn(usize, &mut f32, &mut [f32]) + Sync,
) -> (Vec<f32>, Vec<f32>) {
    let (mut values, mut numbers) = (vec![0.0f32; batch], vec![0.0f32; batch * len]);
    values
        .par_iter_mut()
        .zip(numbers.par_chunks_mut(len.max(1)))
        .enumerate()
        .for_each(|(image, (value, numbers))| work(image, value, numbers));
    (values, numbers)
}
