//! What a file says of its network beside the tensors.

use crate::variant::Variant;

/// What goes with tensors of a file; the default where it says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Said {
    /// What is added to variances.
    pub epsilon: Option<f64>,
    /// What its network does otherwise than the reference.
    pub variant: Variant,
}
