//! What can go wrong.

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option cannot be what it is.
    #[error("{option}: {problem}")]
    Option {
        /// The option.
        option: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Observed values that say nothing.
    #[error("calibration: {problem}")]
    Calibration {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// The network's forward pass could not be recorded.
    #[error(transparent)]
    Capture(#[from] kd_export::Error),
    /// The network could not be rebuilt.
    #[error(transparent)]
    Network(#[from] kd_models::Error),
    /// A network that cannot be quantised so.
    #[error("quantisation: {problem}")]
    Quantise {
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Channels that cannot be removed so.
    #[error("pruning: {problem}")]
    Prune {
        /// What is wrong and what would be right.
        problem: String,
    },
}
