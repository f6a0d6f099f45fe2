//! What a two-stage detector says of boxes that others ask about.

use std::fmt::Debug;

use burn::tensor::Tensor;

use super::RegionOfInterest;
use crate::Error;

/// What a box head says of regions.
#[derive(Clone, Debug)]
pub struct RoiPredictions {
    /// Logits, `[regions, classes]`.
    pub logits: Tensor<2>,
    /// Offsets from the regions for each class, `[regions, 4 · classes]`.
    pub offsets: Tensor<2>,
}

/// The second stage of a detector, with the images of a batch.
pub trait RegionHead: Debug + Send + Sync {
    /// The regions that its own first stage proposes, image by image, best first.
    ///
    /// # Errors
    /// Those of the first stage.
    fn regions(&self) -> Result<Vec<RegionOfInterest>, Error>;

    /// What it says of regions of these images, on the plain device.
    ///
    /// # Errors
    /// [`Error::Shape`] for a region of an image that is not in the batch.
    fn judge(&self, regions: &[RegionOfInterest]) -> Result<RoiPredictions, Error>;
}
