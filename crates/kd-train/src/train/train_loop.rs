//! A training under way: its steps, and the end of an epoch.

use std::collections::HashMap;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{Step, Taps};
use kd_models::Backbone;

use super::student::StudentInTraining;
use super::{CheckpointSink, Teachers};
use crate::records::{CacheStats, EpochRecord, Record, StepRecord};
use crate::step::{Examples, StepPlan, step};
use crate::{Batch, Error, Event, Observer, Scores, Source, TrainConfig};

/// All students of a training, and who they learn from.
pub(super) struct StudentGroup<'a, S: Backbone, T: Module> {
    pub students: Vec<StudentInTraining<S>>,
    pub teachers: Teachers<'a, T>,
}

/// A training under way.
pub(super) struct TrainLoop<'a, S: Backbone, T: Module> {
    pub group: StudentGroup<'a, S, T>,
    pub seed: u64,
    pub config: &'a TrainConfig,
    pub train: &'a dyn Source<Input = S::Input>,
    pub validate: Option<&'a dyn Fn(&S) -> Scores>,
    pub device: &'a Device,
    /// Batches and optimiser steps of an epoch.
    pub batches: usize,
    pub per_epoch: usize,
    /// The place of each sample in the training split.
    pub places: HashMap<usize, usize>,
    /// Optimiser steps taken.
    pub step: usize,
}

/// What all students have in common at the end of an epoch.
pub(super) struct EpochEnd {
    pub epoch: usize,
    pub lr: f64,
    pub seconds: f64,
    pub samples: usize,
    pub cache: Option<CacheStats>,
}

impl<S, T> TrainLoop<'_, S, T>
where
    S: Backbone,
    T: Backbone<Input = S::Input>,
{
    /// The optimiser steps of an epoch; returns the samples seen and the last learning rate.
    pub fn steps(
        &mut self,
        epoch: usize,
        sink: &mut dyn CheckpointSink<S>,
        observer: &mut dyn Observer,
    ) -> Result<(usize, f64), Error> {
        let config = self.config;
        let mut logged = (Instant::now(), 0);
        let (mut seen, mut lr) = (0, 0.0);
        let (train, device) = (self.train, self.device);
        let mut stream = train.epoch(epoch as u64, device).take(self.batches);
        loop {
            let batches: Vec<_> = stream.by_ref().take(config.accumulate).collect();
            if batches.is_empty() {
                return Ok((seen, lr));
            }
            let count: usize = batches.iter().map(Batch::len).sum();
            lr = config.lr.at(self.step, self.per_epoch, config.epochs);
            let at = Step {
                epoch,
                epochs: config.epochs,
                index: self.step,
            };
            let every = config.gradient_norms_every;
            let measure_all = every.is_some_and(|every| self.step.is_multiple_of(every));
            let losses = self
                .group
                .step(batches, &self.places, at, lr, measure_all)?;
            seen += count;
            self.step += 1;
            let last = self.step == epoch * self.per_epoch;
            let log = measure_all || last || self.step.is_multiple_of(config.log_every);
            let speed = (seen - logged.1) as f64 / logged.0.elapsed().as_secs_f64().max(1e-9);
            for (values, student) in losses.into_iter().zip(&mut self.group.students) {
                student.add(&values, count, &at)?;
                let record = StepRecord {
                    role: student.role.clone(),
                    seed: self.seed,
                    epoch,
                    step: at.index,
                    loss: values.loss,
                    components: values.components,
                    lr,
                    gradient_norm: values.gradient_norm,
                    images_per_second: speed,
                };
                observer.event(Event::Step(&record));
                if log {
                    sink.record(&Record::Step(record))?;
                }
            }
            if log {
                logged = (Instant::now(), seen);
            }
            if observer.stop() {
                return Err(Error::Stopped {
                    epoch,
                    step: self.step,
                    checkpoint: self.group.students[0].checkpoint.clone(),
                });
            }
        }
    }

    /// Validates every student, records the epoch, and keeps what is better than before.
    pub fn end_of_epoch(
        &mut self,
        end: &EpochEnd,
        sink: &mut dyn CheckpointSink<S>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        for student in &mut self.group.students {
            let network = student.learner.deployed()?;
            let scores = self.validate.map(|validate| validate(&network));
            let (loss, components) = student.means();
            let validation = scores.iter().flat_map(|scores| &scores.list);
            let record = EpochRecord {
                role: student.role.clone(),
                seed: self.seed,
                epoch: end.epoch,
                step: self.step,
                loss,
                components,
                lr: end.lr,
                seconds: end.seconds,
                images_per_second: end.samples as f64 / end.seconds.max(1e-9),
                validation: validation.cloned().collect(),
                cache: end.cache,
            };
            observer.event(Event::Epoch(&record));
            sink.record(&Record::Epoch(record))?;
            if student.best.offer(network, end.epoch, scores) {
                let kept = sink.keep(&student.role, &student.best.student)?;
                student.checkpoint = Some(kept);
            }
        }
        Ok(())
    }
}

impl<S, T> StudentGroup<'_, S, T>
where
    S: Backbone,
    T: Backbone<Input = S::Input>,
{
    /// One optimiser step of every student over some batches of an epoch.
    fn step(
        &mut self,
        batches: Vec<Batch<S::Input>>,
        places: &HashMap<usize, usize>,
        at: Step,
        lr: f64,
        measure_all: bool,
    ) -> Result<Vec<crate::LossValues>, Error> {
        let samples: Vec<Vec<(usize, u64)>> = batches
            .iter()
            .map(|batch| {
                let views = batch.views.iter().copied();
                batch.indices.iter().copied().zip(views).collect()
            })
            .collect();
        let batches = batches.into_iter().map(|batch| Examples {
            places: Some(batch.indices.iter().map(|i| places[i]).collect()),
            ..batch.into()
        });
        let plan = StepPlan {
            combine: self.teachers.combine,
            mutual: self.teachers.mutual,
            measure_all,
            at,
            lr,
        };
        let teachers = &mut self.teachers;
        let mut ask = |number: usize, input: S::Input, taps: &Taps| {
            teachers.outputs(input, taps, &samples[number])
        };
        let students = self.students.iter_mut();
        let mut learners: Vec<_> = students.map(|student| &mut student.learner).collect();
        step(&mut learners, &mut ask, batches.collect(), &plan)
    }
}
