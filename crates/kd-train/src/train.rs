//! The loop over epochs.

mod best;
mod student;
mod teachers;
mod train_loop;

use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::Objective;
use kd_models::{Backbone, Input};

use self::student::StudentInTraining;
pub use self::teachers::Teachers;
use self::train_loop::{StudentGroup, TrainLoop};
use crate::records::Record;
use crate::state::{Place, TrainingState};
use crate::{Error, Observer, Role, Scores, Source, TrainConfig};

/// Gives the scores of a student on the validation split.
pub type Validate<'a, S> = dyn Fn(&S) -> Result<Scores, Error> + 'a;

/// One training: who learns from whom, on what, for how long.
pub struct Training<'a, S: Backbone, T: Module> {
    /// The students. All see the same batches, and each has an optimiser of its own.
    pub students: Vec<Student<S>>,
    /// Who they learn from.
    pub teachers: Teachers<'a, T>,
    /// Named in records; the source has its own.
    pub seed: u64,
    /// Budget, optimiser and learning rate.
    pub config: &'a TrainConfig,
    /// Training batches.
    pub train: &'a dyn Source<Input = S::Input>,
    /// The scores of a student on the validation split, which select the epoch that is kept; the last
    /// epoch is kept without them.
    pub validate: Option<&'a Validate<'a, S>>,
    /// The plain device; its autodiff form is where the students learn.
    pub device: &'a Device,
    /// The state of the same training, to go on from. All else must be as it was before its first step.
    pub state: Option<TrainingState>,
}

/// A student before its training.
pub struct Student<S: Module> {
    /// Named in records.
    pub role: Role,
    /// The student, on an autodiff device.
    pub network: S,
    /// Its loss.
    pub objective: Objective,
}

/// A trained student.
#[derive(Debug)]
#[non_exhaustive]
pub struct Trained<S> {
    /// The weights of the best epoch, on the plain device.
    pub student: S,
    /// Epochs that ran.
    pub epochs: usize,
    /// Epoch whose weights these are, from 1.
    pub best_epoch: usize,
    /// Validation scores of that epoch.
    pub best_validation: Option<Scores>,
    /// Seconds of training, validation excluded.
    pub seconds: f64,
    /// Samples trained on per second.
    pub images_per_second: f64,
    /// Trained parameters of the objective's adapters.
    pub adapter_parameters: u64,
}

/// Where a training's records and best weights go.
pub trait CheckpointSink<S> {
    /// Takes a line of the metrics.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &Record) -> Result<(), Error>;

    /// Keeps the best form so far of a student and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&mut self, role: &Role, student: &S) -> Result<PathBuf, Error>;

    /// Keeps the state of the training in the place of the last one: at the end of every epoch, as often as
    /// [`TrainConfig::checkpoint`] says, and when the observer stops the training. `state` makes it, which a
    /// sink that keeps none need not ask for.
    ///
    /// # Errors
    /// When it cannot be written.
    fn save(
        &mut self,
        state: &mut dyn FnMut() -> Result<TrainingState, Error>,
    ) -> Result<(), Error> {
        let _ = state;
        Ok(())
    }
}

/// Trains students to the end of their budget, or until the validation of none of them improves.
///
/// A last batch of a single sample is left out: BatchNorm has no standard deviation and a relation no
/// second member. The result has the order of the students.
///
/// # Errors
/// [`Error::NotFinite`] when a loss or its gradient stops being a number, [`Error::Stopped`]
/// when the observer asks for it, [`Error::Core`] when a term cannot work on these networks, what
/// the sink returns, and, with a cache, [`Error::Recipe`] when it cannot serve a term and what
/// [`TeacherCache::output`](crate::cache::TeacherCache::output) returns.
pub fn train<S, T>(
    job: Training<'_, S, T>,
    sink: &mut dyn CheckpointSink<S>,
    observer: &mut dyn Observer,
) -> Result<Vec<Trained<S>>, Error>
where
    S: Backbone,
    T: Backbone<Input = S::Input>,
{
    let Training {
        students,
        teachers,
        seed,
        config,
        train,
        validate,
        device,
        state,
    } = job;
    if let Some(cache) = &teachers.cache {
        for student in &students {
            cache.serves(&student.objective)?;
        }
    }
    let batches = usable_batches(train, config);
    let students = students.into_iter();
    let students = students
        .map(|student| StudentInTraining::new(student, config))
        .collect::<Result<_, Error>>()?;
    let mut train_loop = TrainLoop {
        group: StudentGroup { students, teachers },
        seed,
        config,
        train,
        validate,
        device,
        batches,
        per_epoch: batches.div_ceil(config.accumulate),
        places: train.indices().iter().copied().zip(0..).collect(),
        place: Place::start(),
        saved: Instant::now(),
    };
    if let Some(state) = state {
        train_loop.go_on(state, sink)?;
    }
    while train_loop.place.epoch <= config.epochs && !train_loop.waited_enough() {
        train_loop.epoch(sink, observer)?;
    }
    let Place {
        seconds, samples, ..
    } = train_loop.place;
    let speed = samples as f64 / seconds.max(1e-9);
    let students = train_loop.group.students.into_iter();
    Ok(students.map(|s| s.trained(seconds, speed)).collect())
}

/// Batches of an epoch, without a last one of a single sample and within the recipe's limit.
pub(crate) fn usable_batches<I: Input>(
    train: &dyn Source<Input = I>,
    config: &TrainConfig,
) -> usize {
    let all = train.batches();
    let single = config.batch > 1 && train.indices().len() % config.batch == 1;
    let usable = all - usize::from(single && all > 1);
    usable.min(config.batches_per_epoch.unwrap_or(usize::MAX))
}
