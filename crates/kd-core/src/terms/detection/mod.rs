//! Losses between two detectors.
//!
//! Those of a network that says what its rows are ([`BoxRows`](crate::detection::BoxRows)) are terms. The others are
//! functions: which boxes they compare is a matter of the detectors.
//!
//! Several losses of other groups serve detectors as they are: [`pkd`](crate::terms::pkd), [`cwd`](crate::terms::cwd)
//! and [`mgd`](crate::terms::mgd) on the maps of a pyramid, [`ld`](crate::terms::ld) on edges of boxes, and
//! [`dkd`](crate::terms::dkd) and [`kd`](crate::terms::kd) on the logits of both box heads at the same boxes.

pub mod bounded_regression;
pub mod box_head;
pub mod crosskd;
pub mod detection_loss;
pub mod fbkd;
pub mod fgd;
pub mod fine_grained;
pub mod matched_detections;
pub mod soft_classes;
