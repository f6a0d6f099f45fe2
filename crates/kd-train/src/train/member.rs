//! A student in training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use kd_core::Step;
use kd_models::Backbone;

use super::best::Best;
use super::{Pupil, Trained};
use crate::gradients::trainable_parameters;
use crate::learner::{Learner, LossValues};
use crate::{Arm, Error, TrainConfig};

/// A student in training, its best epoch, and its sums over the current one.
pub(super) struct Member<S: Module + ModuleDisplay> {
    pub arm: Arm,
    pub learner: Learner<S>,
    pub best: Best<S>,
    /// Where the best weights are.
    pub checkpoint: Option<PathBuf>,
    adapter_parameters: u64,
    totals: Totals,
}

#[derive(Default)]
struct Totals {
    images: f64,
    loss: f64,
    components: BTreeMap<String, f64>,
}

impl<S: Backbone<Input = Tensor<4>>> Member<S> {
    pub fn new(pupil: Pupil<S>, config: &TrainConfig) -> Result<Self, Error> {
        // What is deployed with the student is counted with it.
        let head = pupil.objective.head();
        let deployed = head.map_or(0, trainable_parameters);
        let adapter_parameters = trainable_parameters(&pupil.objective) - deployed;
        let learner = Learner::new(pupil.student, pupil.objective, config);
        let best = Best::new(learner.deployed()?);
        Ok(Self {
            checkpoint: None,
            arm: pupil.arm,
            learner,
            best,
            adapter_parameters,
            totals: Totals::default(),
        })
    }

    /// Takes the losses of a step on so many images.
    pub fn add(&mut self, values: &LossValues, images: usize, at: &Step) -> Result<(), Error> {
        if let Some((component, value)) = values.not_finite() {
            return Err(Error::NotFinite {
                component,
                value,
                epoch: at.epoch,
                step: at.index + 1,
                checkpoint: self.checkpoint.clone(),
            });
        }
        let images = images as f64;
        self.totals.images += images;
        self.totals.loss += values.loss * images;
        for (name, component) in &values.components {
            let sum = self.totals.components.entry(name.clone()).or_default();
            *sum += component.value * images;
        }
        Ok(())
    }

    /// Mean loss and components since the last call.
    pub fn means(&mut self) -> (f64, BTreeMap<String, f64>) {
        let totals = std::mem::take(&mut self.totals);
        let count = totals.images.max(1.0);
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
            best_validation: self.best.accuracy,
            seconds,
            images_per_second,
            adapter_parameters: self.adapter_parameters,
        }
    }
}
