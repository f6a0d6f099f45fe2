//! What is turned: channels first into channels last, and square matrices.

use std::mem::MaybeUninit;

use rayon::prelude::*;

use crate::images::Size;

/// Rows and columns of a block that is turned at once.
const BLOCK: usize = 16;

/// Writes `[batch, channels, height, width]` as `[batch, height, width, channels]`.
///
/// # Panics
/// When there is not a value for each place, or not a place for each value.
pub(crate) fn to_channels_last(from: &[f32], size: Size, to: &mut [MaybeUninit<f32>]) {
    let (area, channels) = (size.area(), size.channels);
    let image = (area * channels).max(1);
    assert_eq!(to.len(), size.len(), "a place for each value");
    let images = from[..size.len()].par_chunks(image);
    let images = images.zip(to.par_chunks_mut(image));
    images.for_each(|(from, to)| {
        for first in (0..area).step_by(BLOCK) {
            for channel in (0..channels).step_by(BLOCK) {
                for pixel in first..(first + BLOCK).min(area) {
                    for channel in channel..(channel + BLOCK).min(channels) {
                        to[pixel * channels + channel].write(from[channel * area + pixel]);
                    }
                }
            }
        }
    });
}

/// Copies what is above the diagonal of a matrix `[size, size]` below it.
///
/// # Panics
/// When there are not so many values.
#[inline(always)]
pub(crate) fn mirror(matrix: &mut [f32], size: usize) {
    let matrix = matrix[..size * size].as_mut_ptr();
    for first in (0..size).step_by(BLOCK) {
        for column in (0..=first).step_by(BLOCK) {
            for row in first..(first + BLOCK).min(size) {
                for column in column..(column + BLOCK).min(row) {
                    // SAFETY: row and column are below `size`, and so many values were seen to be there.
                    unsafe { *matrix.add(row * size + column) = *matrix.add(column * size + row) };
                }
            }
        }
    }
}

/// Writes `M + Mᵀ` of a matrix `[size, size]` over `to`.
///
/// # Panics
/// When one of them has not so many values.
#[inline(always)]
pub(crate) fn plus_transposed(matrix: &[f32], size: usize, to: &mut [f32]) {
    let matrix = matrix[..size * size].as_ptr();
    let to = to[..size * size].as_mut_ptr();
    for first in (0..size).step_by(BLOCK) {
        for second in (0..size).step_by(BLOCK) {
            for row in first..(first + BLOCK).min(size) {
                for column in second..(second + BLOCK).min(size) {
                    // SAFETY: row and column are below `size`, and so many values were seen to be there in both.
                    unsafe {
                        let sum =
                            *matrix.add(row * size + column) + *matrix.add(column * size + row);
                        *to.add(row * size + column) = sum;
                    }
                }
            }
        }
    }
}
