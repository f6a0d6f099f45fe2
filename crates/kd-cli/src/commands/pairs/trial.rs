//! Losses on one pair of networks.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Result, bail, ensure};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use kd_core::{ObjectiveConfig, Output, Part, Step, Taps, methods};
use kd_models::{Backbone, Network};
use kd_train::{Examples, Learner, LossValues, TrainConfig};
use serde_json::{Value, json};

use crate::{
    commands::bench::{network, random_batch},
    failure,
};

/// Images of CIFAR-100's training set, for losses that keep something of each.
const SAMPLES: usize = 50_000;
const RATE: f64 = 0.01;

/// What came of a loss.
pub enum Verdict {
    Works,
    /// It reads what these networks do not have.
    Cannot(String),
    /// It should work.
    Fails(String),
}

/// Two networks and a batch.
pub struct Trial {
    student: Network,
    /// What a dry run of the student shows.
    seen: Output,
    /// What the teacher shows of the batch, on the plain device.
    shown: Output,
    images: Tensor<4>,
    labels: Tensor<1, Int>,
    config: TrainConfig,
    device: Device,
}

impl Trial {
    /// Builds both networks, and asks the teacher once for all losses.
    ///
    /// # Errors
    /// When a network does not exist.
    pub fn new(teacher: &str, student: &str, batch: usize, device: &Device) -> Result<Self> {
        let autodiff = device.clone().autodiff();
        let student = network(student, &autodiff)?;
        // The statistics of a teacher that was never trained fit nothing, and from layer to layer
        // its maps would grow beyond all numbers. In training, every batch has its own statistics.
        let teacher = network(teacher, &autodiff)?;
        let (images, labels) = random_batch(batch, &autodiff);
        Ok(Self {
            seen: student
                .valid()
                .forward(images.clone().inner(), &Taps::all()),
            shown: teacher.forward(images.clone(), &Taps::all()).lower(),
            images,
            labels,
            config: serde_json::from_value(json!({ "epochs": 1, "lr": { "peak": RATE } }))?,
            student,
            device: autodiff,
        })
    }

    /// Tries one loss; a crash is caught, so that the others are tried too.
    pub fn of(&self, name: &str) -> Verdict {
        if let Some(lacking) = self.lacks(name) {
            return Verdict::Cannot(lacking);
        }
        match catch_unwind(AssertUnwindSafe(|| self.steps(name))) {
            Ok(Ok(())) => Verdict::Works,
            Ok(Err(error)) => Verdict::Fails(failure::text(&error)),
            Err(_) => Verdict::Fails("it crashed; the message is above".into()),
        }
    }

    /// What a loss reads that these networks do not have: those for transformers tokens.
    fn lacks(&self, name: &str) -> Option<String> {
        let method = methods().into_iter().find(|m| m.name == name)?;
        // The one loss of detectors that reads maps alone.
        if method.group == "detection" && method.name != "fbkd" {
            return Some("reads boxes of both networks, and these classify whole images".into());
        }
        let outputs = [&self.seen, &self.shown];
        let nobody_has = |part: &&Part| outputs.iter().all(|output| output.levels(**part) == 0);
        let lacking = method.reads.iter().find(nobody_has)?;
        Some(format!(
            "reads {} of both networks, and convolutional networks have none",
            lacking.name()
        ))
    }

    fn steps(&self, name: &str) -> Result<()> {
        let mut alone = self.learner(json!({ name: {} }))?;
        let values = self.step(&mut alone)?;
        ensure!(values.gradient_norm > 0.0, "there is no gradient");
        let both = match name {
            "cross_entropy" => json!({ name: {} }),
            _ => json!({ "cross_entropy": { "weight": 1 }, name: {} }),
        };
        let mut beside_labels = self.learner(both)?;
        // The second step is the first to see what a step makes of the weights.
        self.step(&mut beside_labels)?;
        self.step(&mut beside_labels)?;
        Ok(())
    }

    /// A learner with a student that shares nothing with those of other losses: a clone would share
    /// the statistics of batch normalisation.
    fn learner(&self, objective: Value) -> Result<Learner<Network>> {
        let config: ObjectiveConfig = serde_json::from_value(objective)?;
        let config = config.with_samples(SAMPLES)?;
        let objective = config.init(&self.seen, Some(&self.shown), &self.device)?;
        let student = self.student.valid().train();
        Ok(Learner::new(student, objective, &self.config))
    }

    fn step(&self, learner: &mut Learner<Network>) -> Result<LossValues> {
        let batch = Examples {
            input: self.images.clone(),
            targets: self.labels.clone().into(),
            places: Some((0..self.images.dims()[0]).collect()),
        };
        let at = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        let mut ask = |_: usize, _, _: &Taps| Ok(vec![self.shown.clone()]);
        let values = learner.step_with(&mut ask, vec![batch], &at, RATE)?;
        match values.not_finite() {
            Some((what, value)) => bail!("the {what} became {value}"),
            None => Ok(values),
        }
    }
}
