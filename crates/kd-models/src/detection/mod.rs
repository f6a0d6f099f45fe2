//! Networks that find objects.
//!
//! They are not in the registry of [`Network`](crate::Network)s: what they return is not a row of logits an image.
//! [`Detector`] has them by name, as a [`Backbone`](crate::Backbone) that a trainer takes. Their keys are torchvision's, and
//! their files are read and written as strictly as those of other networks.
//!
//! Class 0 is the background. Images are `[batch, 3, height, width]`, of a [`Detector`] RGB in 0..1, of the networks
//! themselves normalised as they want them. What resizes images is not part of a network here.

mod body;
mod detected;
mod detector;
mod faster_rcnn;
mod pyramid;
mod retinanet;
mod ssd;
mod ssd_normed;
mod ssdlite;
mod state;

pub use detected::{Detected, Filter};
pub use detector::{DETECTORS, Detector};
pub use faster_rcnn::{FasterRcnn, FasterRcnnBody, FasterRcnnConfig, ProposalFilter, Proposals};
pub use kd_core::detection::RoiPredictions;
pub use retinanet::{RetinaNet, RetinaNetBody, RetinaNetConfig, RetinaNetOutput};
pub use ssd::{Ssd, SsdConfig, SsdOutput};
pub use ssd_normed::{SsdNormed, SsdNormedConfig, SsdTrunk};
pub use ssdlite::SsdLite;
pub(crate) use state::State;
