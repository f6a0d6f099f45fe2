//! What can go wrong between a recipe and its results.

use std::path::PathBuf;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
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
    /// A file of a run folder does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The loss stopped being a number.
    #[error(
        "the loss is not finite at epoch {epoch}, step {step}: component `{component}` is {value}. \
         The last good checkpoint is kept at {}. Lower the learning rate, set `train.clip_norm`, \
         or check that component's weight", checkpoint.display()
    )]
    NotFinite {
        /// Name of the component.
        component: String,
        /// Its value.
        value: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Optimiser step, from 0.
        step: usize,
        /// Where the last good weights are.
        checkpoint: PathBuf,
    },
    /// The run was asked to stop.
    #[error("stopped in epoch {epoch}, after step {step}; the best finished epoch is kept at {}", checkpoint.display())]
    Stopped {
        /// Epoch, from 1.
        epoch: usize,
        /// Optimiser steps that were taken.
        step: usize,
        /// Where the best weights so far are.
        checkpoint: PathBuf,
    },
    /// The report could not be made.
    #[error("report: {0}")]
    Report(String),
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
