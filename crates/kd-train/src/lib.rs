//! A recipe becomes a distillation run.
//!
//! - [`Recipe`]: the whole truth of a run, read from TOML;
//! - [`Learner`]: one optimiser step of a student, with or without a teacher;
//! - [`train`]: the loop over epochs, with validation, checkpoints and early stopping;
//! - [`run`]: teacher, student alone and student distilled, measured and written to a run folder;
//! - [`probe`]: a linear classifier for weights that have none;
//! - [`check`]: what is wrong with a recipe, found before anything trains;
//! - [`diagnose`]: where and why a student falls short of its teacher;
//! - [`cache`]: the teacher's answers, kept so that it is asked once a view;
//! - [`report::write`]: `report.html` from a run folder;
//! - [`study`]: variants of a recipe with the same seeds, side by side;
//! - [`improve`]: the whole procedure for a student that does not improve, under a budget;
//! - [`search`]: settings of a recipe, tried and chosen by the validation split;
//! - [`stats`]: whether a difference is one, by seeds and by test images.
//!
//! [`Learner`] and [`train`] are generic over [`kd_models::Backbone`], so a network of your own
//! distils with the same loop as those of the registry.

pub mod cache;
mod check;
mod detector;
mod diagnose;
mod error;
mod eval;
mod evaluate;
mod explain;
mod fault;
mod folder;
mod gradients;
pub mod improve;
mod learner;
mod lr;
mod measure;
mod observe;
mod older;
pub mod onnx;
mod optimizer;
mod probe;
mod quantise;
mod recipe;
mod records;
pub mod report;
mod role;
mod run;
mod score;
pub mod search;
mod source;
mod state;
pub mod stats;
mod step;
pub mod study;
mod summary;
pub mod task;
mod teacher_check;
mod teacher_softmax;
pub mod track;
mod train;
pub mod watch;
mod weights;

pub use check::check;
pub use detector::{Finder, Found, detector_of_run, evaluate_detector, finished_detector};
pub use diagnose::diagnose;
pub use error::Error;
pub use eval::{EvalOptions, EvalResult, evaluate, evaluate_by};
pub use evaluate::{Predictions, predict};
pub use explain::{Change, ClassDifference, Explanation, Setting, StudentView, explain};
pub use learner::{Learner, LossValues};
pub use lr::{LrConfig, LrShape};
pub use observe::{Event, Observer, Silent};
pub use optimizer::OptimizerConfig;
pub use optimizer::groups::{Decaying, GroupsConfig};
pub use probe::{ProbeOptions, Probed, probe};
pub use quantise::{Quantised, quantise};
pub use recipe::{
    CheckpointConfig, ClassifierStart, ExportConfig, InitFrom, Program, Recipe, StageSpec, Start,
    StudentPlan, TeacherSpec, TrainConfig, TrainingPlan, Work,
};
pub use records::{CacheStats, ComponentValue, EpochRecord, Record, StepRecord};
pub use role::{Role, UnknownRole};
pub use run::{AnswerWork, Answered, Left, RunOptions, left_in, run, run_task, teacher_answers};
pub use score::{Better, ClassFound, Score, Scores, Unit};
pub use source::{Batch, Source};
#[doc(hidden)]
pub use state::fuzzing;
pub use state::{LearnerState, TrainingState};
pub use step::{Examples, TeacherFn};
pub use summary::{
    CacheSummary, ChangedNetwork, DataSummary, ExportedFile, FileSize, Gain, Latency, MadeOf,
    NetworkChange, NetworkSummary, StudentFile, Summary, TemperatureSample, TemperatureSummary,
    Training,
};
pub use task::{
    DataShape, ImageClassification, ImageNetwork, ObjectDetection, Task, TaskSpec, WeightsUse,
};
pub use train::{
    CheckpointSink, Student, Teachers, Trained, Training as TrainingJob, Validate, train,
};
pub use weights::fetch_weights;

/// The README's example is compiled and run with the doc tests.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
