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
use self::train_loop::{EpochEnd, StudentGroup, TrainLoop};
use crate::records::Record;
use crate::{Error, Observer, Role, Scores, Source, TrainConfig};

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
    pub validate: Option<&'a dyn Fn(&S) -> Scores>,
    /// The plain device; its autodiff form is where the students learn.
    pub device: &'a Device,
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
        step: 0,
    };
    let (mut seconds, mut samples) = (0.0, 0);
    for epoch in 1..=config.epochs {
        let cache = &train_loop.group.teachers.cache;
        let stats_before = cache.as_ref().map(|c| c.stats());
        let begin = Instant::now();
        let (seen, lr) = train_loop.steps(epoch, sink, observer)?;
        let cache = &mut train_loop.group.teachers.cache;
        let cache_stats = match (cache, stats_before) {
            (Some(cache), Some(before)) => {
                cache.commit()?;
                Some(cache.stats().since(&before))
            }
            _ => None,
        };
        let took = begin.elapsed().as_secs_f64();
        seconds += took;
        samples += seen;
        let end = EpochEnd {
            epoch,
            lr,
            seconds: took,
            samples: seen,
            cache: cache_stats,
        };
        train_loop.end_of_epoch(&end, sink, observer)?;
        let students = &train_loop.group.students;
        let waits = |p: usize| students.iter().all(|s| epoch >= s.best.improved + p);
        if config.patience.is_some_and(waits) {
            break;
        }
    }
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
