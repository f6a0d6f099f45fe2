//! The loop over epochs.

mod best;
mod cohort;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Objective, Step};
use kd_data::{Batch, Loader};
use kd_models::Backbone;

use self::best::Best;
pub use self::cohort::Lessons;
use self::cohort::{Cohort, Member};
use crate::Arm;
use crate::evaluate::predict;
use crate::learner::{Examples, Learner, LossValues};
use crate::records::{EpochRecord, Record, StepRecord};
use crate::summary::Accuracy;
use crate::{Error, Event, Observer, TrainConfig};

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
    /// Pictures trained on per second.
    pub images_per_second: f64,
    /// Parameters of the objective's adapters.
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

/// Sums over an epoch.
#[derive(Default)]
struct Totals {
    images: usize,
    loss: f64,
    components: BTreeMap<String, f64>,
}

impl Totals {
    fn add(&mut self, values: &LossValues, images: usize) {
        let weight = images as f64;
        self.images += images;
        self.loss += values.loss * weight;
        for (name, component) in &values.components {
            *self.components.entry(name.clone()).or_default() += component.value * weight;
        }
    }

    /// Mean loss and components.
    fn means(self) -> (f64, BTreeMap<String, f64>) {
        let count = self.images.max(1) as f64;
        let components = self.components.into_iter();
        (
            self.loss / count,
            components.map(|(name, sum)| (name, sum / count)).collect(),
        )
    }
}

/// A student in training.
struct Progress<S> {
    best: Best<S>,
    totals: Totals,
    checkpoint: PathBuf,
    adapter_parameters: u64,
}

/// Trains students to the end of their budget, or until the validation of none of them improves.
///
/// A last batch of a single picture is left out: BatchNorm has no deviation and a relation no
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
    let autodiff = device.clone().autodiff();
    let batches = usable_batches(train, config);
    let per_epoch = batches.div_ceil(config.accumulate);
    let places: HashMap<usize, usize> = train.indices().iter().copied().zip(0..).collect();
    let mut progress = Vec::new();
    let mut members = Vec::new();
    for Pupil {
        arm,
        student,
        objective,
    } in pupils
    {
        let adapter_parameters = objective.num_params() as u64;
        let learner = Learner::new(student, objective, config);
        let best = Best::new(learner.student());
        progress.push(Progress {
            checkpoint: keeper.keep(&arm, &best.student)?,
            best,
            totals: Totals::default(),
            adapter_parameters,
        });
        members.push(Member { arm, learner });
    }
    let mut cohort = Cohort { members, lessons };
    let (mut seconds, mut images, mut step) = (0.0, 0, 0);
    for epoch in 1..=config.epochs {
        let asked_before = cohort.lessons.cache.as_ref().map(|c| c.asked());
        let begin = Instant::now();
        let mut logged = (begin, 0);
        let mut seen = 0;
        let mut stream = train.epoch(epoch as u64).take(batches);
        let mut lr = 0.0;
        loop {
            let group: Vec<Batch> = stream.by_ref().take(config.accumulate).collect();
            if group.is_empty() {
                break;
            }
            let count: usize = group.iter().map(Batch::len).sum();
            let examples = group
                .iter()
                .map(|batch| Examples {
                    images: batch.images(&autodiff),
                    labels: batch.labels(&autodiff),
                    places: Some(batch.indices.iter().map(|i| places[i]).collect()),
                })
                .collect();
            lr = config.lr.at(step, per_epoch, config.epochs);
            let at = Step {
                epoch,
                epochs: config.epochs,
                index: step,
            };
            let every = config.gradient_norms_every;
            let measure = every.is_some_and(|every| step.is_multiple_of(every));
            let losses = cohort.step(&group, examples, train, &at, lr, measure)?;
            seen += count;
            let speed = (seen - logged.1) as f64 / logged.0.elapsed().as_secs_f64().max(1e-9);
            let last = measure
                || (step + 1).is_multiple_of(config.log_every)
                || step + 1 == epoch * per_epoch;
            for ((values, member), pupil) in
                losses.into_iter().zip(&cohort.members).zip(&mut progress)
            {
                if let Some((component, value)) = values.not_finite() {
                    return Err(Error::NotFinite {
                        component,
                        value,
                        epoch,
                        step,
                        checkpoint: pupil.checkpoint.clone(),
                    });
                }
                pupil.totals.add(&values, count);
                let record = StepRecord {
                    arm: member.arm.clone(),
                    seed,
                    epoch,
                    step,
                    loss: values.loss,
                    components: values.components,
                    lr,
                    gradient_norm: values.gradient_norm,
                    images_per_second: speed,
                };
                observer.event(Event::Step(&record));
                if last {
                    keeper.record(&Record::Step(record))?;
                }
            }
            step += 1;
            if last {
                logged = (Instant::now(), seen);
            }
            if observer.stop() {
                return Err(Error::Stopped {
                    epoch,
                    step,
                    checkpoint: progress[0].checkpoint.clone(),
                });
            }
        }
        if let Some(cache) = &mut cohort.lessons.cache {
            cache.commit()?;
        }
        let took = begin.elapsed().as_secs_f64();
        seconds += took;
        images += seen;
        let asked = cohort.lessons.cache.as_ref().zip(asked_before);
        let asked = asked.map(|(cache, before)| cache.asked().since(&before));
        for (member, pupil) in cohort.members.iter().zip(&mut progress) {
            let student = member.learner.student();
            let accuracy = validation.map(|loader| predict(&student, loader, device).accuracy());
            let (loss, components) = std::mem::take(&mut pupil.totals).means();
            let record = EpochRecord {
                arm: member.arm.clone(),
                seed,
                epoch,
                step,
                loss,
                components,
                lr,
                seconds: took,
                images_per_second: seen as f64 / took.max(1e-9),
                validation_top1: accuracy.as_ref().map(|v| v.top1),
                validation_loss: accuracy.as_ref().map(|v| v.loss),
                cache: asked,
            };
            observer.event(Event::Epoch(&record));
            keeper.record(&Record::Epoch(record))?;
            if pupil.best.offer(student, epoch, accuracy) {
                pupil.checkpoint = keeper.keep(&member.arm, &pupil.best.student)?;
            }
        }
        let waits = |p: usize| progress.iter().all(|pupil| epoch >= pupil.best.epoch + p);
        if config.patience.is_some_and(waits) {
            break;
        }
    }
    let trained = |pupil: Progress<S>| Trained {
        student: pupil.best.student,
        epochs: pupil.best.seen,
        best_epoch: pupil.best.epoch,
        best_validation: pupil.best.accuracy,
        seconds,
        images_per_second: images as f64 / seconds.max(1e-9),
        adapter_parameters: pupil.adapter_parameters,
    };
    Ok(progress.into_iter().map(trained).collect())
}

/// Batches of an epoch, without a last one of a single picture and within the recipe's limit.
pub(crate) fn usable_batches(train: &Loader, config: &TrainConfig) -> usize {
    let all = train.batches();
    let single = config.batch > 1 && train.len() % config.batch == 1;
    let usable = all - usize::from(single && all > 1);
    usable.min(config.batches_per_epoch.unwrap_or(usize::MAX))
}
