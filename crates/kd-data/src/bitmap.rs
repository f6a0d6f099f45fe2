//! An image of any size, before it is cut to what networks see.

use crate::View;

/// An image as bytes, the channels of a pixel together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bitmap {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Colour channels: 1 or 3.
    pub channels: usize,
    /// `[height, width, channels]`, row-major.
    pub bytes: Vec<u8>,
}

/// A rectangle of an image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by what they are")]
pub struct Window {
    pub left: usize,
    pub top: usize,
    pub width: usize,
    pub height: usize,
}

impl Bitmap {
    /// An image of planes `[channels, height, width]`.
    pub fn from_planes(planes: &[u8], channels: usize, (height, width): (usize, usize)) -> Self {
        let size = height * width;
        let pixel = |i: usize| (0..channels).map(move |c| planes[c * size + i]);
        Self {
            width,
            height,
            channels,
            bytes: (0..size).flat_map(pixel).collect(),
        }
    }

    /// Its planes, `[channels, height, width]`.
    pub fn planes(&self) -> Vec<u8> {
        let channel = |c: usize| self.bytes.iter().skip(c).step_by(self.channels).copied();
        (0..self.channels).flat_map(channel).collect()
    }

    /// The pixels of a rectangle that lies in the image.
    pub(crate) fn cut(&self, window: Window) -> Self {
        let Window {
            left,
            top,
            width,
            height,
        } = window;
        let rows = self.rows().skip(top).take(height);
        let part = left * self.channels..(left + width) * self.channels;
        Self {
            width,
            height,
            channels: self.channels,
            bytes: rows.flat_map(|row| &row[part.clone()]).copied().collect(),
        }
    }

    /// Moved and mirrored as a view says; what comes in is black.
    pub(crate) fn seen(&self, view: &View) -> Self {
        let (width, height) = (self.width as i64, self.height as i64);
        self.mapped(&[0; 3], |x, y| {
            let column = if view.flip { width - 1 - x } else { x } + i64::from(view.dx);
            let row = y + i64::from(view.dy);
            let inside = (0..width).contains(&column) && (0..height).contains(&row);
            inside.then_some((column, row))
        })
    }

    /// An image of this size in one colour, of which the first channels count.
    pub(crate) fn of_one_colour(&self, colour: &[u8]) -> Self {
        let mut image = self.clone();
        for pixel in image.bytes.chunks_exact_mut(self.channels) {
            pixel.copy_from_slice(&colour[..self.channels]);
        }
        image
    }

    /// The image whose pixel `(x, y)` is this one's pixel `from(x, y)`, or the colour `outside` for none.
    pub(crate) fn mapped(
        &self,
        outside: &[u8],
        from: impl Fn(i64, i64) -> Option<(i64, i64)>,
    ) -> Self {
        let mut result = self.of_one_colour(outside);
        let mut pixels = result.bytes.chunks_exact_mut(self.channels);
        for y in 0..self.height as i64 {
            for (x, pixel) in (0..self.width as i64).zip(&mut pixels) {
                if let Some((column, row)) = from(x, y) {
                    pixel.copy_from_slice(self.pixel(column as usize, row as usize));
                }
            }
        }
        result
    }

    /// The image whose bytes are `change` of this one's, by channel.
    pub(crate) fn changed(&self, change: impl Fn(usize, u8) -> u8) -> Self {
        let mut bytes = self.bytes.clone();
        for pixel in bytes.chunks_exact_mut(self.channels) {
            for (c, byte) in pixel.iter_mut().enumerate() {
                *byte = change(c, *byte);
            }
        }
        Self { bytes, ..*self }
    }

    pub(crate) fn pixel(&self, x: usize, y: usize) -> &[u8] {
        &self.bytes[(y * self.width + x) * self.channels..][..self.channels]
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.chunks_exact(self.width * self.channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_windows_and_views_are_their_definitions() {
        let planes: Vec<u8> = (0..36).collect();
        let image = Bitmap::from_planes(&planes, 3, (3, 4));
        assert_eq!(image.pixel(1, 2), [9, 21, 33]);
        assert_eq!(image.planes(), planes);
        let part = image.cut(Window {
            left: 1,
            top: 2,
            width: 2,
            height: 1,
        });
        assert_eq!(part.planes(), [9, 10, 21, 22, 33, 34]);
        let view = View {
            dx: 1,
            dy: -1,
            flip: true,
            cutout: None,
        };
        let first = [0, 0, 0, 0, 0, 3, 2, 1, 0, 7, 6, 5];
        assert_eq!(image.seen(&view).planes()[..12], first);
    }
}
