//! Which epoch's weights are kept.

use crate::Scores;

/// The best epoch so far.
pub(super) struct Best<S> {
    pub(super) student: S,
    pub(super) epoch: usize,
    pub(super) scores: Option<Scores>,
    pub(super) seen: usize,
}

impl<S> Best<S> {
    pub(super) fn new(student: S) -> Self {
        Self {
            student,
            epoch: 0,
            scores: None,
            seen: 0,
        }
    }

    /// Takes the student when it is better, or when there is nothing to compare by.
    pub(super) fn offer(&mut self, student: S, epoch: usize, scores: Option<Scores>) -> bool {
        self.seen = epoch;
        let better = match (&scores, &self.scores) {
            (Some(new), Some(old)) => new.better_than(old),
            _ => true,
        };
        if better {
            *self = Self {
                student,
                epoch,
                scores,
                seen: epoch,
            };
        }
        better
    }
}
