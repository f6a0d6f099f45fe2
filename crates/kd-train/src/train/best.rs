//! Which epoch's weights are kept.

use crate::summary::Accuracy;

/// The best epoch so far.
pub(super) struct Best<S> {
    pub(super) student: S,
    pub(super) epoch: usize,
    pub(super) accuracy: Option<Accuracy>,
    pub(super) seen: usize,
}

impl<S> Best<S> {
    pub(super) fn new(student: S) -> Self {
        Self {
            student,
            epoch: 0,
            accuracy: None,
            seen: 0,
        }
    }

    /// Takes the student when it is better, or when there is nothing to compare by. At equal
    /// accuracy the lower validation loss wins.
    pub(super) fn offer(&mut self, student: S, epoch: usize, accuracy: Option<Accuracy>) -> bool {
        self.seen = epoch;
        let better = match (&accuracy, &self.accuracy) {
            (Some(new), Some(old)) => {
                (new.top1, -new.loss).partial_cmp(&(old.top1, -old.loss))
                    == Some(std::cmp::Ordering::Greater)
            }
            _ => true,
        };
        if better {
            *self = Self {
                student,
                epoch,
                accuracy,
                seen: epoch,
            };
        }
        better
    }
}
