//! The loop over epochs.

mod best;
mod cohort;
mod course;
mod member;

use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::Objective;
use kd_data::Loader;
use kd_models::Backbone;

use self::cohort::Cohort;
pub use self::cohort::Lessons;
use self::course::{Course, End};
use self::member::Member;
use crate::records::Record;
use crate::summary::Accuracy;
use crate::{Arm, Error, Observer, TrainConfig};

/// One training: who learns from whom, on what, for how long.
pub struct Training<'a, S: Module, T: Module> {
    /// The students; they are shown the same batches, and each has an optimiser of its own.
    pub pupils: Vec<Pupil<S>>,
    /// Who they learn from.
    pub lessons: Lessons<'a, T>,
    /// Named in records; the loader has its own.
    pub seed: u64,
    /// Budget, optimiser and learning rate.
    pub config: &'a TrainConfig,
    /// Training batches.
    pub train: &'a Loader,
    /// Validation batches, which select the epoch that is kept; the last one without them.
    pub validation: Option<&'a Loader>,
    /// The plain device; its autodiff form is where the students learn.
    pub device: &'a Device,
}

/// A student before its training.
pub struct Pupil<S: Module> {
    /// Named in records.
    pub arm: Arm,
    /// The student, on an autodiff device.
    pub student: S,
    /// Its loss.
    pub objective: Objective,
}

/// A trained student.
#[derive(Debug)]
pub struct Trained<S> {
    /// The weights of the best epoch, on the plain device.
    pub student: S,
    /// Epochs that ran.
    pub epochs: usize,
    /// Epoch whose weights these are, from 1.
    pub best_epoch: usize,
    /// Validation accuracy of that epoch.
    pub best_validation: Option<Accuracy>,
    /// Seconds of training, validation excluded.
    pub seconds: f64,
    /// Images trained on per second.
    pub images_per_second: f64,
    /// Trained parameters of the objective's adapters.
    pub adapter_parameters: u64,
}

/// Where a training's lines and best weights go.
pub trait Keeper<S> {
    /// Takes a line of the metrics.
    ///
    /// # Errors
    /// When it cannot be written.
    fn record(&mut self, record: &Record) -> Result<(), Error>;

    /// Keeps the best form so far of a student and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&mut self, arm: &Arm, student: &S) -> Result<PathBuf, Error>;
}

/// Trains students to the end of their budget, or until the validation of none of them improves.
///
/// A last batch of a single image is left out: BatchNorm has no standard deviation and a relation no
/// second member. What is returned has the order of the pupils.
///
/// # Errors
/// [`Error::NotFinite`] when a loss or its gradient stops being a number, [`Error::Stopped`]
/// when the observer asks for it, [`Error::Core`] when a term cannot work on these networks, what
/// the keeper returns, and, with a cache, [`Error::Recipe`] when it cannot serve a term and what
/// [`TeacherCache::output`](crate::cache::TeacherCache::output) returns.
pub fn train<S, T>(
    job: Training<'_, S, T>,
    keeper: &mut dyn Keeper<S>,
    observer: &mut dyn Observer,
) -> Result<Vec<Trained<S>>, Error>
where
    S: Backbone<Input = Tensor<4>>,
    T: Backbone<Input = Tensor<4>>,
{
    let Training {
        pupils,
        lessons,
        seed,
        config,
        train,
        validation,
        device,
    } = job;
    if let Some(cache) = &lessons.cache {
        for pupil in &pupils {
            cache.serves(&pupil.objective)?;
        }
    }
    let batches = usable_batches(train, config);
    let members = pupils.into_iter();
    let members = members
        .map(|pupil| Member::new(pupil, config))
        .collect::<Result<_, Error>>()?;
    let mut course = Course {
        cohort: Cohort { members, lessons },
        seed,
        config,
        train,
        validation,
        device,
        batches,
        per_epoch: batches.div_ceil(config.accumulate),
        places: train.indices().iter().copied().zip(0..).collect(),
        step: 0,
    };
    let (mut seconds, mut images) = (0.0, 0);
    for epoch in 1..=config.epochs {
        let cache = &course.cohort.lessons.cache;
        let asked_before = cache.as_ref().map(|c| c.asked());
        let begin = Instant::now();
        let (seen, lr) = course.steps(epoch, keeper, observer)?;
        let cache = &mut course.cohort.lessons.cache;
        let asked = match (cache, asked_before) {
            (Some(cache), Some(before)) => {
                cache.commit()?;
                Some(cache.asked().since(&before))
            }
            _ => None,
        };
        let took = begin.elapsed().as_secs_f64();
        seconds += took;
        images += seen;
        let end = End {
            epoch,
            lr,
            seconds: took,
            images: seen,
            asked,
        };
        course.end_of_epoch(&end, keeper, observer)?;
        let members = &course.cohort.members;
        let waits = |p: usize| members.iter().all(|m| epoch >= m.best.epoch + p);
        if config.patience.is_some_and(waits) {
            break;
        }
    }
    let speed = images as f64 / seconds.max(1e-9);
    let members = course.cohort.members.into_iter();
    Ok(members.map(|m| m.trained(seconds, speed)).collect())
}

/// Batches of an epoch, without a last one of a single image and within the recipe's limit.
pub(crate) fn usable_batches(train: &Loader, config: &TrainConfig) -> usize {
    let all = train.batches();
    let single = config.batch > 1 && train.len() % config.batch == 1;
    let usable = all - usize::from(single && all > 1);
    usable.min(config.batches_per_epoch.unwrap_or(usize::MAX))
}
