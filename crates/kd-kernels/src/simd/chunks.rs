//! Pixels in chunks that several threads work on.
//!
//! The chunks depend on the sizes alone and not on the number of threads, so neither do sums.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::Size;
use crate::tasks;

/// Values of a chunk; it stays in a first- or second-level cache between two readings.
const VALUES: usize = 1 << 14;

/// Pixels of a chunk.
pub(crate) fn pixels(channels: usize) -> usize {
    (VALUES / channels.max(1)).max(1)
}

/// Runs `work(first pixel, values of its chunk)` for all pixels of an output of `width` values each.
///
/// # Panics
/// When `y` is not such an output.
pub(crate) fn each(
    size: Size,
    width: usize,
    y: &mut [MaybeUninit<f32>],
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) {
    each_chunk(size, pixels(size.channels), width, y, work);
}

/// Runs `work(row, values of the row)` for all rows of all images of a dense output.
///
/// # Panics
/// When `y` is not such an output.
pub(crate) fn each_row(
    size: Size,
    y: &mut [MaybeUninit<f32>],
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) {
    let width = size.width.max(1);
    each_chunk(size, width, size.channels, y, |first, y| {
        work(first / width, y)
    });
}

/// Runs `work(pixel, its output channels)` for all pixels of a dense output.
///
/// # Panics
/// When `y` is not such an output.
pub(crate) fn each_pixel(
    size: Size,
    y: &mut [MaybeUninit<f32>],
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) {
    /// Pixels of a task.
    const MOVED: usize = 1024;
    // No instruction set is asked for here, which else counts.
    crate::mode::called();
    each_chunk(size, MOVED, size.channels, y, |first, y| {
        for (pixel, y) in y.chunks_exact_mut(size.channels).enumerate() {
            work(first + pixel, y);
        }
    });
}

fn each_chunk(
    size: Size,
    pixels: usize,
    width: usize,
    y: &mut [MaybeUninit<f32>],
    work: impl Fn(usize, &mut [MaybeUninit<f32>]) + Sync,
) {
    assert_eq!(y.len(), size.pixels() * width, "a place for each value");
    tasks::each_chunk(y, pixels * width, |index, y| work(index * pixels, y));
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
