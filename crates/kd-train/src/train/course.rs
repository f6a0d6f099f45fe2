//! A training under way: its steps, and the end of an epoch.

use std::collections::HashMap;
use std::time::Instant;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Device, Tensor};
use kd_core::Step;
use kd_data::{Batch, Loader};
use kd_models::Backbone;

use super::Keeper;
use super::cohort::Cohort;
use crate::cache::Asked;
use crate::evaluate::predict;
use crate::learner::Examples;
use crate::records::{EpochRecord, Record, StepRecord};
use crate::{Error, Event, Observer, TrainConfig};

/// A training under way.
pub(super) struct Course<'a, S: Module + ModuleDisplay, T: Module> {
    pub cohort: Cohort<'a, S, T>,
    pub seed: u64,
    pub config: &'a TrainConfig,
    pub train: &'a Loader,
    pub validation: Option<&'a Loader>,
    pub device: &'a Device,
    /// Batches and optimiser steps of an epoch.
    pub batches: usize,
    pub per_epoch: usize,
    /// Each image's place in the training split.
    pub places: HashMap<usize, usize>,
    /// Optimiser steps taken.
    pub step: usize,
}

/// What all students have in common at the end of an epoch.
pub(super) struct End {
    pub epoch: usize,
    pub lr: f64,
    pub seconds: f64,
    pub images: usize,
    pub asked: Option<Asked>,
}

impl<S, T> Course<'_, S, T>
where
    S: Backbone<Input = Tensor<4>>,
    T: Backbone<Input = Tensor<4>>,
{
    /// The optimiser steps of an epoch; returns the images seen and the last learning rate.
    pub fn steps(
        &mut self,
        epoch: usize,
        keeper: &mut dyn Keeper<S>,
        observer: &mut dyn Observer,
    ) -> Result<(usize, f64), Error> {
        let config = self.config;
        let mut logged = (Instant::now(), 0);
        let (mut seen, mut lr) = (0, 0.0);
        let mut stream = self.train.epoch(epoch as u64).take(self.batches);
        loop {
            let group: Vec<Batch> = stream.by_ref().take(config.accumulate).collect();
            if group.is_empty() {
                return Ok((seen, lr));
            }
            let count: usize = group.iter().map(Batch::len).sum();
            lr = config.lr.at(self.step, self.per_epoch, config.epochs);
            let at = Step {
                epoch,
                epochs: config.epochs,
                index: self.step,
            };
            let every = config.gradient_norms_every;
            let measure = every.is_some_and(|every| self.step.is_multiple_of(every));
            let examples = self.examples(&group);
            let losses = self
                .cohort
                .step(&group, examples, self.train, &at, lr, measure)?;
            seen += count;
            self.step += 1;
            let last = self.step == epoch * self.per_epoch;
            let log = measure || last || self.step.is_multiple_of(config.log_every);
            let speed = (seen - logged.1) as f64 / logged.0.elapsed().as_secs_f64().max(1e-9);
            for (values, member) in losses.into_iter().zip(&mut self.cohort.members) {
                member.add(&values, count, &at)?;
                let record = StepRecord {
                    arm: member.arm.clone(),
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
                    keeper.record(&Record::Step(record))?;
                }
            }
            if log {
                logged = (Instant::now(), seen);
            }
            if observer.stop() {
                return Err(Error::Stopped {
                    epoch,
                    step: self.step,
                    checkpoint: self.cohort.members[0].checkpoint.clone(),
                });
            }
        }
    }

    fn examples(&self, group: &[Batch]) -> Vec<Examples> {
        let autodiff = self.device.clone().autodiff();
        group
            .iter()
            .map(|batch| Examples {
                images: batch.images(&autodiff),
                labels: batch.labels(&autodiff),
                places: Some(batch.indices.iter().map(|i| self.places[i]).collect()),
            })
            .collect()
    }

    /// Validates every student, records the epoch, and keeps what is better than before.
    pub fn end_of_epoch(
        &mut self,
        end: &End,
        keeper: &mut dyn Keeper<S>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        for member in &mut self.cohort.members {
            let student = member.learner.deployed()?;
            let accuracy = self
                .validation
                .map(|loader| predict(&student, loader, self.device).accuracy());
            let (loss, components) = member.means();
            let record = EpochRecord {
                arm: member.arm.clone(),
                seed: self.seed,
                epoch: end.epoch,
                step: self.step,
                loss,
                components,
                lr: end.lr,
                seconds: end.seconds,
                images_per_second: end.images as f64 / end.seconds.max(1e-9),
                validation_top1: accuracy.as_ref().map(|v| v.top1),
                validation_loss: accuracy.as_ref().map(|v| v.loss),
                cache: end.asked,
            };
            observer.event(Event::Epoch(&record));
            keeper.record(&Record::Epoch(record))?;
            if member.best.offer(student, end.epoch, accuracy) {
                let kept = keeper.keep(&member.arm, &member.best.student)?;
                member.checkpoint = Some(kept);
            }
        }
        Ok(())
    }
}
