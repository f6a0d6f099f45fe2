//! Augmentation that moves boxes with the image (Liu et al., ECCV 2016, as torchvision's reference does it).

mod crop;
mod photometric;
mod zoom_out;

pub use crop::IouCrop;
pub use photometric::Photometric;
pub use zoom_out::ZoomOut;

use super::Annotation;
use crate::Bitmap;
use crate::random::Stream;

/// Tells the draws of this apart from others of the same seed.
const BOXES: u64 = 0x0B0C_5E55;

/// An image with its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Scene {
    /// The pixels.
    pub image: Bitmap,
    /// The objects, whose boxes lie in the image.
    pub objects: Vec<Annotation>,
}

/// What is done to a training image, in this order; none of a step leaves it out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoxAugment {
    /// Brightness, contrast, saturation, hue and the order of the channels.
    pub photometric: Option<Photometric>,
    /// The image on a larger canvas, so that objects are smaller.
    pub zoom_out: Option<ZoomOut>,
    /// A part of the image that objects lie in.
    pub crop: Option<IouCrop>,
    /// The probability that left and right are exchanged.
    pub flip: f64,
    /// The probability that above and below are exchanged: for images without an upright, such as those of a microscope.
    pub flip_vertical: f64,
}

impl BoxAugment {
    /// SSD's.
    pub fn ssd() -> Self {
        Self {
            photometric: Some(Photometric::default()),
            zoom_out: Some(ZoomOut::default()),
            ..Self::ssdlite()
        }
    }

    /// SSDLite's: crops and flips alone.
    pub fn ssdlite() -> Self {
        Self {
            crop: Some(IouCrop::default()),
            flip: 0.5,
            ..Self::default()
        }
    }

    /// The image `index` in an epoch. What is drawn is a function of seed, epoch and index, so that teacher and student,
    /// and a run that goes on, see the same.
    ///
    /// A box that the crop leaves without a width or a height is left out.
    pub fn apply(&self, scene: Scene, seed: u64, epoch: u64, index: usize) -> Scene {
        let mut random = Stream::new([seed, BOXES, epoch, index as u64]);
        let mut scene = scene;
        if let Some(photometric) = &self.photometric {
            scene.image = photometric.apply(scene.image, &mut random);
        }
        if let Some(zoom_out) = &self.zoom_out {
            scene = zoom_out.apply(scene, &mut random);
        }
        if let Some(crop) = &self.crop {
            scene = crop.apply(scene, &mut random);
        }
        // Both are drawn in any case, so that one does not change what the other draws.
        let [across, down] = [self.flip, self.flip_vertical].map(|p| random.unit() < p);
        flipped(scene, across, down)
    }
}

/// A scene with left and right, or above and below, exchanged.
fn flipped(scene: Scene, across: bool, down: bool) -> Scene {
    if !across && !down {
        return scene;
    }
    let (width, height) = (scene.image.width, scene.image.height);
    let (w, h) = (width as f64, height as f64);
    let (last_x, last_y) = (width as i64 - 1, height as i64 - 1);
    let image = scene.image.mapped(&[0; 3], |x, y| {
        Some((
            if across { last_x - x } else { x },
            if down { last_y - y } else { y },
        ))
    });
    let moved = |[x1, y1, x2, y2]: [f64; 4]| {
        let [x1, x2] = if across { [w - x2, w - x1] } else { [x1, x2] };
        let [y1, y2] = if down { [h - y2, h - y1] } else { [y1, y2] };
        [x1, y1, x2, y2]
    };
    let objects = scene.objects.into_iter();
    Scene {
        image,
        objects: objects.map(|o| at(o, moved(o.corners))).collect(),
    }
}

/// An object at another place of another image: its box and its area are those of its corners.
fn at(object: Annotation, corners: [f64; 4]) -> Annotation {
    let [x1, y1, x2, y2] = corners;
    let (width, height) = (x2 - x1, y2 - y1);
    Annotation {
        corners,
        bbox: [x1, y1, width, height],
        area: width * height,
        ..object
    }
}

#[cfg(test)]
mod tests;
