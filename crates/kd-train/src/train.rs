//! The loop over epochs.

mod best;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Objective, Step, Taps};
use kd_data::{Batch, Loader};
use kd_models::Backbone;

use self::best::Best;
use crate::cache::TeacherCache;
use crate::evaluate::predict;
use crate::learner::{Examples, Learner, LossValues};
use crate::records::{Arm, EpochRecord, Record, StepRecord};
use crate::summary::Accuracy;
use crate::{Error, Event, Observer, TrainConfig};

/// One training: who learns from whom, on what, for how long.
pub struct Training<'a, S: Module, T: Module> {
    /// Named in records.
    pub arm: Arm,
    /// Named in records; the loader has its own.
    pub seed: u64,
    /// The student, on an autodiff device.
    pub student: S,
    /// The teacher, on the plain device with BatchNorm frozen.
    pub teacher: Option<&'a T>,
    /// Keeps what the teacher says.
    pub cache: Option<&'a mut TeacherCache>,
    /// The loss.
    pub objective: Objective,
    /// Budget, optimiser and learning rate.
    pub config: &'a TrainConfig,
    /// Training batches.
    pub train: &'a Loader,
    /// Validation batches, which select the epoch that is kept; the last one without them.
    pub validation: Option<&'a Loader>,
    /// The plain device; its autodiff form is where the student learns.
    pub device: &'a Device,
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

    /// Keeps the best student so far and says where.
    ///
    /// # Errors
    /// When it cannot be written.
    fn keep(&mut self, student: &S) -> Result<PathBuf, Error>;
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
}

/// Trains a student to the end of its budget, or until validation stops improving.
///
/// A last batch of a single picture is left out: BatchNorm has no deviation and a relation no
/// second member.
///
/// # Errors
/// [`Error::NotFinite`] when the loss or its gradient stops being a number, [`Error::Stopped`]
/// when the observer asks for it, [`Error::Core`] when a term cannot work on these networks, what
/// the keeper returns, and, with a cache, [`Error::Recipe`] when it cannot serve a term and what
/// [`TeacherCache::output`] returns.
pub fn train<S, T>(
    job: Training<'_, S, T>,
    keeper: &mut dyn Keeper<S>,
    observer: &mut dyn Observer,
) -> Result<Trained<S>, Error>
where
    S: Backbone<Input = Tensor<4>>,
    T: Backbone<Input = Tensor<4>>,
{
    let Training {
        arm,
        seed,
        config,
        train,
        device,
        teacher,
        mut cache,
        ..
    } = job;
    if let Some(cache) = &cache {
        cache.serves(&job.objective)?;
    }
    let autodiff = device.clone().autodiff();
    let batches = usable_batches(train, config);
    let per_epoch = batches.div_ceil(config.accumulate);
    let places: HashMap<usize, usize> = train.indices().iter().copied().zip(0..).collect();
    let adapter_parameters = job.objective.num_params() as u64;
    let mut learner = Learner::new(job.student, job.objective, config);
    let mut best = Best::new(learner.student());
    let mut checkpoint = keeper.keep(&best.student)?;
    let (mut seconds, mut images, mut step) = (0.0, 0, 0);
    for epoch in 1..=config.epochs {
        let mut totals = Totals::default();
        let asked_before = cache.as_ref().map(|c| c.asked());
        let begin = Instant::now();
        let mut logged = (begin, 0);
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
            let mut show = |number: usize, images, taps: &Taps| match (teacher, &mut cache) {
                (None, _) => Ok(None),
                (Some(teacher), None) => Ok(Some(teacher.forward(images, taps))),
                (Some(teacher), Some(cache)) => {
                    let pictures: Vec<_> = group[number]
                        .indices
                        .iter()
                        .map(|&index| (index, train.view(epoch as u64, index)))
                        .collect();
                    cache.output(teacher, images, &pictures).map(Some)
                }
            };
            let values = learner.step_with(&mut show, examples, &at, lr)?;
            if let Some((component, value)) = values.not_finite() {
                return Err(Error::NotFinite {
                    component,
                    value,
                    epoch,
                    step,
                    checkpoint,
                });
            }
            totals.add(&values, count);
            let since = logged.0.elapsed().as_secs_f64();
            let record = StepRecord {
                arm,
                seed,
                epoch,
                step,
                loss: values.loss,
                components: values.components,
                lr,
                gradient_norm: values.gradient_norm,
                images_per_second: (totals.images - logged.1) as f64 / since.max(1e-9),
            };
            observer.event(Event::Step(&record));
            step += 1;
            if step.is_multiple_of(config.log_every) || step == epoch * per_epoch {
                keeper.record(&Record::Step(record))?;
                logged = (Instant::now(), totals.images);
            }
            if observer.stop() {
                return Err(Error::Stopped {
                    epoch,
                    step,
                    checkpoint,
                });
            }
        }
        if let Some(cache) = &mut cache {
            cache.commit()?;
        }
        let took = begin.elapsed().as_secs_f64();
        seconds += took;
        images += totals.images;
        let student = learner.student();
        let validation = job
            .validation
            .map(|loader| predict(&student, loader, device).accuracy());
        let count = totals.images.max(1) as f64;
        let record = EpochRecord {
            arm,
            seed,
            epoch,
            step,
            loss: totals.loss / count,
            components: totals
                .components
                .into_iter()
                .map(|(name, sum)| (name, sum / count))
                .collect(),
            lr,
            seconds: took,
            images_per_second: count / took.max(1e-9),
            validation_top1: validation.as_ref().map(|v| v.top1),
            validation_loss: validation.as_ref().map(|v| v.loss),
            cache: cache
                .as_ref()
                .zip(asked_before)
                .map(|(cache, before)| cache.asked().since(&before)),
        };
        observer.event(Event::Epoch(&record));
        keeper.record(&Record::Epoch(record))?;
        if best.offer(student, epoch, validation) {
            checkpoint = keeper.keep(&best.student)?;
        }
        if config.patience.is_some_and(|p| epoch >= best.epoch + p) {
            break;
        }
    }
    Ok(Trained {
        student: best.student,
        epochs: best.seen,
        best_epoch: best.epoch,
        best_validation: best.accuracy,
        seconds,
        images_per_second: images as f64 / seconds.max(1e-9),
        adapter_parameters,
    })
}

/// Batches of an epoch, without a last one of a single picture and within the recipe's limit.
pub(crate) fn usable_batches(train: &Loader, config: &TrainConfig) -> usize {
    let all = train.batches();
    let single = config.batch > 1 && train.len() % config.batch == 1;
    let usable = all - usize::from(single && all > 1);
    usable.min(config.batches_per_epoch.unwrap_or(usize::MAX))
}
