//! What a run tells the person who watches it.

use crate::Role;
use crate::records::{EpochRecord, StepRecord};
use crate::summary::NetworkSummary;

/// Something happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Data are downloaded or read.
    Data(kd_data::Progress),
    /// A training begins.
    Started {
        /// Which network; the first of those that train together.
        role: &'a Role,
        /// Its seed.
        seed: u64,
        /// Its name in the registry; the names of all that train together.
        model: &'a str,
        /// Epochs it will run at most.
        epochs: usize,
        /// Optimiser steps an epoch.
        steps_per_epoch: usize,
    },
    /// An optimiser step was taken.
    Step(&'a StepRecord),
    /// An epoch ended.
    Epoch(&'a EpochRecord),
    /// A network is being measured: on the test split, or a teacher beforehand on the validation split.
    Measuring {
        /// Which network.
        role: &'a Role,
        /// Seed of its training.
        seed: Option<u64>,
    },
    /// A network was measured.
    Measured(&'a NetworkSummary),
    /// A teacher was asked about a batch, before any training.
    Asked {
        /// Seed of the training that will show these batches.
        seed: u64,
        /// Batches so far, of this seed.
        batches: usize,
        /// Batches of this seed.
        of: usize,
        /// Answers that are kept.
        answers: usize,
    },
    /// A line worth telling.
    Note(&'a str),
}

/// Watches a run, and may stop it.
pub trait Observer {
    /// Called for every event, in order.
    fn event(&mut self, event: Event<'_>);

    /// Asked after every step; `true` ends the run with [`Error::Stopped`](crate::Error::Stopped).
    fn stop(&self) -> bool {
        false
    }

    /// Asked after the trainings; `false` ends the run with [`Error::NotMeasured`](crate::Error::NotMeasured) before the test
    /// split is read.
    fn measures(&self) -> bool {
        true
    }
}

/// An observer that says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn event(&mut self, _: Event<'_>) {}
}
