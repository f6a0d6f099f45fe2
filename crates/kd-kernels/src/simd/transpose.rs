//! Between channels first and channels last.

use rayon::prelude::*;

use crate::images::{OutPtr, Size};

/// Channels and pixels of a block that is turned at once.
const BLOCK: usize = 16;

/// Writes `[batch, channels, height, width]` as `[batch, height, width, channels]`.
pub(crate) fn to_channels_last(from: &[f32], size: Size, to: OutPtr) {
    let (area, channels) = (size.area(), size.channels);
    let image = area * channels;
    assert!(from.len() >= size.len(), "a value for each place");
    to.check(size.len());
    (0..size.batch).into_par_iter().for_each(|index| {
        let from = &from[index * image..][..image];
        // SAFETY: the output has as many images as the batch, and this task alone writes this one.
        let to = unsafe { to.part(index * image, image) };
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
