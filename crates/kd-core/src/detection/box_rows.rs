//! What the rows of a detector's output are.

use std::sync::Arc;

use super::Corners;
use super::losses::DetectionLoss;
use crate::Error;

/// How the logits of a row become probabilities of classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RowScores {
    /// By one softmax, in which class 0 is the background.
    #[default]
    Softmax,
    /// Each by a sigmoid of its own. Class 0, which nothing is of, is there to count classes as others do.
    Sigmoid,
}

/// What the rows of a detector's output are: its logits, and its offsets under
/// [`Part::Boxes`](crate::Part::Boxes).
#[derive(Clone, Debug)]
pub struct BoxRows {
    /// Height and width of the images in pixels.
    pub image: [usize; 2],
    /// The default boxes of an image, of which each has a row; rows stand image by image. None for a network that
    /// chooses its boxes itself.
    pub references: Arc<[Corners]>,
    /// How logits become probabilities.
    pub scores: RowScores,
    /// What a network that chooses its boxes itself is trained by, one a stage: it is told the objects, and says its
    /// losses, or why it has none. Empty for other networks, and where there is nothing to train.
    pub losses: Result<Vec<DetectionLoss>, Error>,
}

impl BoxRows {
    /// Of images of `[height, width]` pixels, with default boxes or without, and a softmax.
    pub fn new(image: [usize; 2], references: impl Into<Arc<[Corners]>>) -> Self {
        Self {
            image,
            references: references.into(),
            scores: RowScores::Softmax,
            losses: Ok(Vec::new()),
        }
    }

    /// The same with other scores.
    pub fn with_scores(self, scores: RowScores) -> Self {
        Self { scores, ..self }
    }

    /// Of a network that is not trained.
    pub(crate) fn without_losses(self) -> Self {
        Self {
            losses: Ok(Vec::new()),
            ..self
        }
    }
}
