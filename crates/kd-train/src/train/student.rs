//! A student in training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kd_core::Step;
use kd_models::Backbone;

use super::best::Best;
use super::{Student, Trained};
use crate::gradients::trainable_parameters;
use crate::learner::{Learner, LossValues};
use crate::state::{BestState, StudentState, Totals, module_bytes, with_bytes};
use crate::{Error, Role, TrainConfig};

/// A student in training, its best epoch, and its sums over the current one.
pub(super) struct StudentInTraining<S: Backbone> {
    pub role: Role,
    pub learner: Learner<S>,
    pub best: Best<S>,
    /// Where the best weights are.
    pub checkpoint: Option<PathBuf>,
    adapter_parameters: u64,
    totals: Totals,
}

impl<S: Backbone> StudentInTraining<S> {
    pub fn new(student: Student<S>, config: &TrainConfig) -> Result<Self, Error> {
        // What is deployed with the student is counted with it.
        let head = student.objective.head();
        let deployed = head.map_or(0, trainable_parameters);
        let adapter_parameters = trainable_parameters(&student.objective) - deployed;
        let learner = Learner::new(student.network, student.objective, config);
        let best = Best::new(learner.deployed()?);
        Ok(Self {
            checkpoint: None,
            role: student.role,
            learner,
            best,
            adapter_parameters,
            totals: Totals::default(),
        })
    }

    /// What it needs to go on.
    pub fn state(&self) -> Result<StudentState, Error> {
        Ok(StudentState {
            learner: self.learner.state()?,
            best: BestState {
                network: module_bytes(&self.best.student)?,
                epoch: self.best.epoch,
                seen: self.best.seen,
                improved: self.best.improved,
                scores: self.best.scores.clone(),
            },
            totals: self.totals.clone(),
        })
    }

    /// This student, which must be new, as another one was.
    pub fn with_state(self, state: &StudentState) -> Result<Self, Error> {
        let best = &state.best;
        Ok(Self {
            learner: self.learner.with_state(&state.learner)?,
            best: Best {
                student: with_bytes(self.best.student, &best.network)?,
                epoch: best.epoch,
                seen: best.seen,
                improved: best.improved,
                scores: best.scores.clone(),
            },
            totals: state.totals.clone(),
            ..self
        })
    }

    /// Takes the losses of a step on so many samples.
    pub fn add(&mut self, values: &LossValues, samples: usize, at: &Step) -> Result<(), Error> {
        if let Some((component, value)) = values.not_finite() {
            return Err(Error::NotFinite {
                component,
                value,
                epoch: at.epoch,
                step: at.index + 1,
                checkpoint: self.checkpoint.clone(),
            });
        }
        let samples = samples as f64;
        self.totals.samples += samples;
        self.totals.loss += values.loss * samples;
        for (name, component) in &values.components {
            let sum = self.totals.components.entry(name.clone()).or_default();
            *sum += component.value * samples;
        }
        Ok(())
    }

    /// Mean loss and components since the last call.
    pub fn means(&mut self) -> (f64, BTreeMap<String, f64>) {
        let totals = std::mem::take(&mut self.totals);
        let count = totals.samples.max(1.0);
        let components = totals.components.into_iter();
        (
            totals.loss / count,
            components.map(|(name, sum)| (name, sum / count)).collect(),
        )
    }

    /// The student of the best epoch, after a training of so many seconds.
    pub fn trained(self, seconds: f64, images_per_second: f64) -> Trained<S> {
        Trained {
            student: self.best.student,
            epochs: self.best.seen,
            best_epoch: self.best.epoch,
            best_validation: self.best.scores,
            seconds,
            images_per_second,
            adapter_parameters: self.adapter_parameters,
        }
    }
}
