//! Which epoch's weights are kept.

use crate::Scores;

/// The best epoch so far.
pub(super) struct Best<S> {
    pub(super) student: S,
    pub(super) epoch: usize,
    pub(super) scores: Option<Scores>,
    pub(super) seen: usize,
    /// The last epoch whose first score was better than all before: what patience waits for.
    pub(super) improved: usize,
}

impl<S> Best<S> {
    pub(super) fn new(student: S) -> Self {
        Self {
            student,
            epoch: 0,
            scores: None,
            seen: 0,
            improved: 0,
        }
    }

    /// Takes the student when it is better, or when there is nothing to compare by. Of two epochs with the
    /// same first score, such as the accuracy, the next scores say which is kept; patience goes by the first
    /// alone.
    pub(super) fn offer(&mut self, student: S, epoch: usize, scores: Option<Scores>) -> bool {
        self.seen = epoch;
        let first_is_better = match (&scores, &self.scores) {
            (Some(new), Some(old)) => new.first_better_than(old),
            _ => true,
        };
        if first_is_better {
            self.improved = epoch;
        }
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
                improved: self.improved,
            };
        }
        better
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Score;

    #[test]
    fn a_lower_loss_at_equal_accuracy_is_kept_and_does_not_renew_patience() {
        let scores = |top1, loss| {
            Some(Scores {
                list: vec![
                    Score::percent("top1", "top-1", top1),
                    Score::nats("loss", "cross-entropy", loss),
                ],
                ..Scores::default()
            })
        };
        let mut best = Best::new(0);
        assert!(best.offer(1, 1, scores(50.0, 1.0)));
        assert!(best.offer(2, 2, scores(50.0, 0.9)));
        assert_eq!((best.student, best.epoch, best.improved), (2, 2, 1));
        assert!(!best.offer(3, 3, scores(50.0, 0.95)));
        assert!(!best.offer(4, 4, scores(f64::NAN, 0.1)));
        assert_eq!((best.student, best.improved, best.seen), (2, 1, 4));
        assert!(best.offer(5, 5, scores(50.1, 2.0)));
        assert_eq!((best.student, best.epoch, best.improved), (5, 5, 5));
    }
}
