//! The state of a training, from which it goes on as if it had never stopped.
//!
//! What a step depends on is either a function of the recipe (the order of samples, their views, the
//! learning rate, schedules, random masks: all follow from seed, epoch and step) or is kept here: the
//! student, its adapters and memories, running statistics, the optimiser, the moving average, factors
//! of a balance, the best epoch so far, the place in the epoch, and what the teacher cache held.

mod file;
mod learner;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::records::CacheStats;
use crate::{Error, Scores};

pub use self::file::fuzzing;
pub(crate) use self::file::{Saved, StateFiles};
pub use self::learner::LearnerState;
pub(crate) use self::learner::{module_bytes, with_bytes};

/// The state of a training between two of its steps.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TrainingState {
    pub(crate) place: Place,
    pub(crate) students: Vec<StudentState>,
    pub(crate) cache: Option<CacheState>,
}

impl TrainingState {
    /// The epoch that is under way, from 1; one more than there are after the last.
    pub fn epoch(&self) -> usize {
        self.place.epoch
    }

    /// Optimiser steps that were taken.
    pub fn step(&self) -> usize {
        self.place.step
    }
}

/// Where a training stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The epoch under way, from 1.
    pub epoch: usize,
    /// Batches of it that were used.
    pub batches: usize,
    /// Optimiser steps of the training.
    pub step: usize,
    /// Samples of this epoch, and of the epochs before.
    pub seen: usize,
    pub samples: usize,
    /// Seconds of this epoch, and of the epochs before.
    pub epoch_seconds: f64,
    pub seconds: f64,
    /// Learning rate of the last step.
    pub lr: f64,
    /// What the cache had been asked before this epoch.
    pub cache_before: Option<CacheStats>,
}

impl Place {
    /// Before the first step.
    pub fn start() -> Self {
        Self {
            epoch: 1,
            batches: 0,
            step: 0,
            seen: 0,
            samples: 0,
            epoch_seconds: 0.0,
            seconds: 0.0,
            lr: 0.0,
            cache_before: None,
        }
    }

    /// At the beginning of the next epoch.
    pub fn next_epoch(&mut self) {
        *self = Self {
            epoch: self.epoch + 1,
            batches: 0,
            seen: 0,
            samples: self.samples + self.seen,
            epoch_seconds: 0.0,
            seconds: self.seconds + self.epoch_seconds,
            cache_before: None,
            ..*self
        };
    }
}

/// A student in training.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StudentState {
    pub learner: LearnerState,
    pub best: BestState,
    pub totals: Totals,
}

/// The best epoch so far.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BestState {
    pub network: ByteBuf,
    pub epoch: usize,
    pub seen: usize,
    pub improved: usize,
    pub scores: Option<Scores>,
}

/// Sums over an epoch.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Totals {
    pub samples: f64,
    pub loss: f64,
    pub components: BTreeMap<String, f64>,
}

/// What a run had of its teacher cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CacheState {
    pub stats: CacheStats,
    /// Answers that it held.
    pub answers: usize,
}

pub(crate) fn damaged(what: impl std::fmt::Display) -> Error {
    Error::Recipe(format!("a saved state does not fit this training: {what}"))
}
