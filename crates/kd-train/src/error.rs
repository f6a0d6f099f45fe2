//! What can go wrong between a recipe and its results.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recipe is wrong.
    #[error("{0}")]
    Recipe(String),
    /// A file or folder could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The run folder is not free for this run.
    #[error("{} {problem}; choose another folder with --out", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// What is in it.
        problem: String,
        /// Whether another run is writing into it now.
        busy: bool,
    },
    /// A file of a run folder does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// A tracker did not take a run.
    #[error("{target}: {source}")]
    Track {
        /// Which.
        target: String,
        /// Why.
        source: Box<kd_track::Error>,
    },
    /// The loss stopped being a number.
    #[error(
        "the loss is not finite in epoch {epoch}, at step {step}: component `{component}` is {value}; {}. \
         Lower the learning rate, set `train.clip_norm`, or check that component's weight",
        kept(checkpoint.as_deref())
    )]
    NotFinite {
        /// Name of the component.
        component: String,
        /// Its value.
        value: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Optimiser step, from 1.
        step: usize,
        /// Where the weights of the best finished epoch are; none when no epoch was finished.
        checkpoint: Option<PathBuf>,
    },
    /// The run was asked to stop.
    #[error("stopped in epoch {epoch}, after step {step}; {}", kept(checkpoint.as_deref()))]
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Optimiser steps that were taken.
        step: usize,
        /// Where the weights of the best finished epoch are; none when no epoch was finished.
        checkpoint: Option<PathBuf>,
    },
    /// The observer wanted the trainings and no measurement ([`Observer::measures`](crate::Observer::measures)).
    #[error("trained, and not measured, as the observer asked")]
    NotMeasured,
    /// A variant of a study is wrong, or its run failed.
    #[error("{variant}: {source}")]
    Variant {
        /// Which one, and what becomes of the others.
        variant: String,
        /// Why it failed.
        source: Box<Error>,
    },
    /// A teacher's answers were asked for until the observer asked to stop.
    #[error("stopped; {} keeps {answers} answers, and the same command goes on", file.display())]
    StoppedAsking {
        /// Where they are kept.
        file: PathBuf,
        /// How many there are.
        answers: usize,
    },
    /// A worker was asked to stop while it waited.
    #[error("stopped while other workers did what is left")]
    StoppedWaiting,
    /// What workers share could not be read or written, or another worker does this.
    #[error(transparent)]
    Store(#[from] kd_store::Error),
    /// The report could not be made.
    #[error("report: {0}")]
    Report(String),
    /// What was gathered for a diagnosis cannot be diagnosed.
    #[error(transparent)]
    Diagnose(#[from] kd_diagnose::Error),
    /// A loss or objective is wrong.
    #[error(transparent)]
    Core(#[from] kd_core::Error),
    /// The data are wrong.
    #[error(transparent)]
    Data(#[from] kd_data::Error),
    /// A network or its weights are wrong.
    #[error(transparent)]
    Models(#[from] kd_models::Error),
}

impl Error {
    /// Of work that was this worker's.
    pub(crate) fn taken_over() -> Self {
        Self::Store(kd_store::Error::Busy {
            holder: "another worker, which took it over".into(),
        })
    }
}

fn kept(checkpoint: Option<&Path>) -> String {
    match checkpoint {
        Some(path) => format!("the best finished epoch is kept at {}", path.display()),
        None => "no epoch of this training was finished".into(),
    }
}
