//! Pictures with boxes: annotations of COCO and PASCAL VOC, augmentation, and the evaluation of a detector.
//!
//! Both readers give a [`DetectionSet`] of the same form: boxes as `[x1, y1, x2, y2]` in continuous pixels, classes
//! from 1 on (0 is the background). Whatever of the annotations is not taken as it is, is counted in [`Counts`];
//! whatever cannot be understood is an error that names the file, the image and the cure.

mod augment;
mod classes;
mod coco;
mod config;
mod counts;
pub mod evaluation;
mod loader;
mod number;
mod set;
mod shapes;
mod voc;

pub use augment::{BoxAugment, IouCrop, Photometric, Scene, ZoomOut};
pub use classes::Classes;
pub use coco::read_coco;
pub use config::{DetectionAugment, DetectionConfig, DetectionSplits};
pub use counts::Counts;
pub use loader::{DetectionBatch, DetectionLoader, DetectionLoaderConfig};
pub use set::{Annotated, Annotation, DetectionSet, read_picture};
pub use shapes::shapes;
pub use voc::{VocOptions, read_voc};

#[cfg(test)]
mod tests;
