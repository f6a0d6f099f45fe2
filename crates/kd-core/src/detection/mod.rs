//! Object detection: boxes, and the losses of detectors and of their distillation.
//!
//! A box is [`Corners`], `[x1, y1, x2, y2]` in continuous pixels, without the "+ 1" of older code. Class 0 is the
//! background, as in torchvision.
//!
//! What decides (which object a box belongs to, which boxes are kept) is computed on the host, in double precision,
//! so that it is the same on every backend. What has a gradient (decoding, pooling, losses) is made of tensor
//! operations.

mod anchors;
mod box_rows;
mod coder;
mod default_boxes;
mod dense_head;
mod geometry;
pub mod losses;
mod matcher;
mod nms;
mod objects;
mod region_head;
mod roi_align;
mod roi_levels;
mod rows;
mod sampler;

pub use anchors::Anchors;
pub use box_rows::{BoxRows, RowScores};
pub use coder::BoxCoder;
pub use default_boxes::DefaultBoxes;
pub use dense_head::{DenseHead, HeadBranch};
pub use geometry::{Corners, Overlaps, area, clip, intersection, iou};
pub use matcher::{Matched, Matcher, match_default_boxes};
pub use nms::{nms, nms_by_class};
pub use objects::Objects;
pub use region_head::{RegionHead, RoiPredictions};
pub use roi_align::{RegionOfInterest, RoiAlign};
pub use roi_levels::{LevelScales, multi_scale_roi_align};
pub use rows::rows_of_map;
pub use sampler::{Sampled, Sampler};
