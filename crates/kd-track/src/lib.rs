//! Metrics of a run where people look: TensorBoard, Weights & Biases, MLflow.
//! [`Pages`] answers a browser.
//!
//! `metrics.jsonl` of the run folder is the truth. A [`Tracker`] is told its lines by a thread that reads the
//! growing file, so the file is the queue: a tracker that is slow or dead costs the run nothing, and what it missed
//! can be told later. A run that goes on tells the files anew from the first line, and MLflow from where it was.

mod error;
mod follow;
mod mlflow;
mod serve;
mod target;
mod tensorboard;
mod wandb;

use std::collections::BTreeMap;
use std::path::PathBuf;

pub use self::error::Error;
pub use self::follow::{End, Follower, Metrics, replay};
pub use self::mlflow::MlFlow;
pub use self::serve::{Answer, Pages};
pub use self::target::{Target, UnknownTarget};
pub use self::tensorboard::TensorBoard;
pub use self::wandb::Wandb;

/// Values of one training at one optimiser step.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Which training of the run, such as `student-seed1`. It names a folder, so it holds no separators.
    pub training: String,
    /// Optimiser step.
    pub step: u64,
    /// Seconds since 1970 at which it was read.
    pub wall: f64,
    /// Values by name, such as `train/loss/kd`.
    pub values: Vec<(String, f64)>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// With its results.
    Finished,
    /// With an error.
    Failed,
    /// On demand; it may go on later.
    Interrupted,
}

/// What a tracker is told of a run before its metrics.
#[derive(Clone, Debug)]
pub struct Run {
    /// The run folder.
    pub folder: PathBuf,
    /// Name of the run.
    pub name: String,
    /// What names this run and no other, also when it goes on.
    pub id: String,
    /// Seconds since 1970 at which it was first tracked.
    pub started: f64,
    /// The recipe, a value a key: strings, numbers and booleans.
    pub parameters: BTreeMap<String, serde_json::Value>,
    /// The recipe as text.
    pub recipe: String,
    /// Files of the run folder that a server is given at the end, where they exist.
    pub artifacts: Vec<String>,
}

/// How far the lines of `metrics.jsonl` were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// Bytes of whole lines.
    pub bytes: u64,
    /// CRC-32 of them.
    pub crc: u32,
}

/// Takes the metrics of a run.
pub trait Tracker: Send {
    /// Opens it, again after an error that may pass. What it has taken of this run before is not told again when
    /// the lines are still the same.
    ///
    /// # Errors
    /// When its files cannot be written, or its server does not answer or refuses.
    fn begin(&mut self) -> Result<Mark, Error>;

    /// Begins anew: all lines follow once more, because some have changed.
    ///
    /// # Errors
    /// As [`Tracker::begin`].
    fn rewind(&mut self) -> Result<(), Error>;

    /// Takes the next points; the lines of `metrics.jsonl` up to the mark are then told. After an error that may
    /// pass the same points come again.
    ///
    /// # Errors
    /// As [`Tracker::begin`].
    fn points(&mut self, points: &[Point], mark: Mark) -> Result<(), Error>;

    /// Takes the results of the test split and ends.
    ///
    /// # Errors
    /// As [`Tracker::begin`].
    fn finish(&mut self, status: Status, results: &[Point]) -> Result<(), Error>;
}
