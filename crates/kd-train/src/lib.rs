//! A recipe becomes a distillation run.
//!
//! - [`Recipe`]: the whole truth of a run, read from TOML;
//! - [`Learner`]: one optimiser step of a student, with or without a teacher;
//! - [`train`]: the loop over epochs, with validation, checkpoints and early stopping;
//! - [`run`]: teacher, student alone and student distilled, measured and written to a run folder;
//! - [`check`]: what is wrong with a recipe, found before anything trains;
//! - [`cache`]: the teacher's answers, kept so that it is asked once a view;
//! - [`report::write`]: `report.html` from a run folder;
//! - [`study`]: variants of a recipe with the same seeds, and which differences the seeds show.
//!
//! [`Learner`] and [`train`] are generic over [`kd_models::Backbone`], so a network of your own
//! distils with the same loop as those of the registry.

mod arm;
pub mod cache;
mod check;
mod error;
mod evaluate;
mod folder;
mod gradients;
mod learner;
mod lr;
mod measure;
mod observe;
mod optimizer;
mod recipe;
mod records;
pub mod report;
mod run;
pub mod study;
mod summary;
mod temperature;
mod train;

pub use arm::{Arm, UnknownArm};
pub use check::{DataShape, check};
pub use error::Error;
pub use evaluate::{EvalOptions, Evaluated, Predictions, evaluate, predict};
pub use learner::{Examples, Learner, LossValues, Show};
pub use observe::{Event, Observer, Silent};
pub use optimizer::OptimizerConfig;
pub use recipe::{LrConfig, PlannedTraining, Recipe, StageSpec, TrainConfig};
pub use records::{ComponentValue, EpochRecord, Record, StepRecord};
pub use run::{RunOptions, run};
pub use summary::{
    Accuracy, ArmSummary, CacheSummary, DataSummary, Gain, Latency, Summary, TemperatureSample,
    TemperatureSummary, Training,
};
pub use train::{Keeper, Lessons, Pupil, Trained, Training as TrainingJob, train};

/// The README's example is compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
