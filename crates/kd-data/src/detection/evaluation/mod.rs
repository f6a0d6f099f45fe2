//! How well a detector finds objects: average precision as COCO and as PASCAL VOC define it.

mod coco;
mod curve;
mod matching;
mod resample;
mod voc;

pub use coco::{CocoClass, CocoScores, evaluate_coco};
pub use resample::resample_coco;
pub use voc::{VocCurve, VocEdges, VocFound, VocObject, evaluate_voc};

/// An object that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrueObject {
    /// The image's number.
    pub image: usize,
    /// The class's number.
    pub class: usize,
    /// x and y of the upper left corner, width, height, in pixels.
    pub bbox: [f64; 4],
    /// Its area as its annotation says, which may be that of its outline: it decides whether it is small.
    pub area: f64,
    /// Whether it stands for a crowd: a detection in it is neither right nor wrong.
    pub crowd: bool,
}

/// An object that a detector says is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FoundObject {
    /// The image's number.
    pub image: usize,
    /// The class's number.
    pub class: usize,
    /// x and y of the upper left corner, width, height, in pixels.
    pub bbox: [f64; 4],
    /// How sure the detector is, the higher the surer.
    pub score: f64,
}
