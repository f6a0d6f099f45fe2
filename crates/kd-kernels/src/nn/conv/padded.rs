//! An image with zeros around it, so that kernels need no check at its edges.

use std::ops::Range;

use super::Geometry;
use crate::images::Images;

/// Sizes of a padded image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Padding {
    pub top: usize,
    pub left: usize,
    /// Height with its padding.
    pub height: usize,
    /// Width with its padding.
    pub width: usize,
}

impl Padding {
    /// What a convolution asks for around its input.
    pub fn of(geometry: &Geometry) -> Self {
        let [top, left] = geometry.padding;
        Self {
            top,
            left,
            height: geometry.input.height + 2 * top,
            width: geometry.input.width + 2 * left,
        }
    }

    pub fn is_none(&self, images: &Images) -> bool {
        self.top == 0
            && self.left == 0
            && self.height == images.size.height
            && self.width == images.size.width
    }

    /// Values of a padded image with this many channels.
    pub fn len(&self, channels: usize) -> usize {
        self.height * self.width * channels
    }

    /// # Panics
    /// When an offset in a padded image whose pixels are `pitch` values apart needs more than 32 bits.
    pub fn check_offsets(&self, pitch: usize) {
        assert!(
            u32::try_from(self.len(pitch)).is_ok(),
            "an image of {}x{} pixels, {pitch} values each, is too large",
            self.height,
            self.width
        );
    }

    /// Fills `to` with image `index`, dense, and zeros around it.
    pub fn copy(&self, images: &Images, index: usize, to: &mut [f32]) {
        self.copy_rows(images, index, 0..self.height, to);
    }

    /// As [`copy`](Self::copy), with some rows of the padded image alone.
    pub fn copy_rows(&self, images: &Images, index: usize, rows: Range<usize>, to: &mut [f32]) {
        let size = images.size;
        let channels = size.channels;
        let from = &images.data[index * images.image_pitch()..];
        let row = self.width * channels;
        let inside = size.width * channels;
        let to = &mut to[..rows.len() * row];
        for (y, to) in rows.zip(to.chunks_exact_mut(row.max(1))) {
            let Some(y) = y.checked_sub(self.top).filter(|y| *y < size.height) else {
                to.fill(0.0);
                continue;
            };
            to[..self.left * channels].fill(0.0);
            to[self.left * channels + inside..].fill(0.0);
            let to = &mut to[self.left * channels..][..inside];
            let from = &from[y * size.width * images.pitch..];
            if images.pitch == channels {
                to.copy_from_slice(&from[..inside]);
            } else {
                for (x, to) in to.chunks_exact_mut(channels).enumerate() {
                    to.copy_from_slice(&from[x * images.pitch..][..channels]);
                }
            }
        }
    }
}
