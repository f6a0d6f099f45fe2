//! An image on a larger canvas.

use super::{Scene, at};
use crate::Bitmap;
use crate::random::Stream;

/// Puts the image anywhere on a canvas whose sides are up to `largest` times as long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ZoomOut {
    /// The probability that it happens.
    pub probability: f64,
    /// The canvas's sides at most, in those of the image; at least 1.
    pub largest: f64,
    /// The canvas's colour.
    pub fill: [u8; 3],
}

impl Default for ZoomOut {
    /// Half of the images, up to four times the sides, on ImageNet's mean.
    fn default() -> Self {
        Self {
            probability: 0.5,
            largest: 4.0,
            fill: [123, 117, 104],
        }
    }
}

impl ZoomOut {
    pub(super) fn apply(&self, scene: Scene, random: &mut Stream) -> Scene {
        if random.unit() >= self.probability {
            return scene;
        }
        let ratio = random.between([1.0, self.largest.max(1.0)]);
        let Bitmap {
            width,
            height,
            channels,
            ..
        } = scene.image;
        let [wide, high] = [width, height].map(|side| (side as f64 * ratio) as usize);
        let left = random.below(wide - width + 1);
        let top = random.below(high - height + 1);
        let mut bytes = Vec::with_capacity(wide * high * channels);
        for _ in 0..wide * high {
            bytes.extend_from_slice(&self.fill[..channels]);
        }
        for (y, row) in scene.image.rows().enumerate() {
            let start = ((top + y) * wide + left) * channels;
            bytes[start..start + row.len()].copy_from_slice(row);
        }
        let (x, y) = (left as f64, top as f64);
        let objects = scene.objects.into_iter().map(|object| {
            let [x1, y1, x2, y2] = object.corners;
            at(object, [x1 + x, y1 + y, x2 + x, y2 + y])
        });
        Scene {
            image: Bitmap {
                width: wide,
                height: high,
                channels,
                bytes,
            },
            objects: objects.collect(),
        }
    }
}
