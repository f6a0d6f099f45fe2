//! Networks that find objects.
//!
//! They are not in the registry of [`Network`](crate::Network)s: what they return is not a row of logits an image. Their
//! keys are torchvision's, and their files are read and written as strictly as those of other networks.
//!
//! Class 0 is the background. Images are `[batch, 3, height, width]`, normalised as the network wants them: what
//! resizes them is not part of a network here.

mod detected;
mod faster_rcnn;
mod ssd;
mod ssdlite;
mod state;

pub use detected::{Detected, Filter};
pub use faster_rcnn::{
    FasterRcnn, FasterRcnnBody, FasterRcnnConfig, ProposalFilter, Proposals, RoiPredictions,
};
pub use ssd::{Ssd, SsdConfig, SsdOutput};
pub use ssdlite::SsdLite;
pub(crate) use state::State;
