//! What an epoch is made of, one thing at a time.

use std::time::Duration;

use anyhow::{Context, Result};
use burn::module::Module;
use burn::tensor::Device;
use kd_core::{ObjectiveConfig, Step, Taps, draw};
use kd_data::{Batch, Loader, LoaderConfig, load, measure_throughput, split};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::{Learner, Recipe, Silent};
use serde_json::json;

use crate::commands::bench::timing;

/// How long the loader is measured, at least.
const LOADER: Duration = Duration::from_secs(2);
/// Batches that a network is timed on, after one that is not counted.
const REPEAT: u32 = 30;

/// Images per second of the parts of an epoch.
pub struct Parts {
    pub loader: f64,
    pub teacher: f64,
    pub student: f64,
    pub teacher_model: String,
}

impl Parts {
    /// Images per second of all parts one after the other.
    pub fn sum(&self) -> f64 {
        1.0 / (1.0 / self.loader + 1.0 / self.teacher + 1.0 / self.student)
    }

    /// Measures the parts of a recipe's epoch.
    ///
    /// # Errors
    /// When the data or the networks are wrong.
    pub fn measure(recipe: &Recipe, device: &Device) -> Result<Self> {
        let dataset = load(&recipe.data, &mut |_| {})?;
        let config = LoaderConfig {
            batch: recipe.train.batch,
            augment: recipe.data.augment,
            mean: dataset.mean.clone(),
            std: dataset.std.clone(),
            seed: recipe.seed,
            shuffle: true,
            drop_last: false,
        };
        let indices = split(&dataset, &recipe.data)?.train;
        let loader = Loader::new(dataset.train.clone(), indices, config)?;
        let batch = loader.epoch(1).next().context("the loader has no batch")?;

        let spec = recipe.teacher.as_ref().context("a teacher")?;
        let weights = spec.weights.as_ref().context("the teacher's weights")?;
        let network = |name: &str| {
            NetworkConfig::new(name, dataset.classes.len(), dataset.train.channels)
                .with_image_size(dataset.train.height)
        };
        let weights = kd_train::fetch_weights(weights, &mut Silent)?;
        let teacher = Network::from_file(&network(&spec.model), weights, device)?.valid();
        draw::seed(recipe.seed);
        let student = Network::new(&network(&recipe.student.model), &device.clone().autodiff())?;
        let rate = |seconds: timing::Seconds| batch.len() as f64 / seconds.median();
        Ok(Self {
            loader: measure_throughput(&loader, LOADER),
            teacher: rate(time_teacher(&teacher, &student, &batch, recipe, device)?),
            student: rate(time_student(student, &batch, recipe, device)?),
            teacher_model: teacher.config().model.clone(),
        })
    }
}

/// Forward passes that keep what the objective reads.
fn time_teacher(
    teacher: &Network,
    student: &Network,
    batch: &Batch,
    recipe: &Recipe,
    device: &Device,
) -> Result<timing::Seconds> {
    let images = batch.images(device);
    let show = |network: &Network| network.forward(images.clone(), &Taps::all());
    // Only its taps are read.
    let objective = recipe.objective.clone().with_samples(batch.indices.len())?;
    let objective = objective.init(
        &show(&student.valid()),
        Some(&show(teacher)),
        &device.clone().autodiff(),
    )?;
    let taps = objective.taps().teacher;
    timing::repeat(REPEAT, device, || {
        teacher.forward(batch.images(device), &taps);
        Ok(())
    })
}

/// Steps of the recipe's optimiser on labels alone.
fn time_student(
    student: Network,
    batch: &Batch,
    recipe: &Recipe,
    device: &Device,
) -> Result<timing::Seconds> {
    let autodiff = device.clone().autodiff();
    let labels_only: ObjectiveConfig =
        serde_json::from_value(json!({ "cross_entropy": { "weight": 1 } }))?;
    let seen = student.valid().forward(batch.images(device), &Taps::none());
    let objective = labels_only.init(&seen, None, &autodiff)?;
    let mut learner = Learner::new(student, objective, &recipe.train);
    let at = Step {
        epoch: 1,
        epochs: 1,
        index: 0,
    };
    // Small, so that the same batch again and again stays finite.
    const LR: f64 = 1e-3;
    timing::repeat(REPEAT, device, || {
        let tensors = vec![(batch.images(&autodiff), batch.labels(&autodiff))];
        learner.step::<Network, _>(None, tensors, &at, LR)?;
        Ok(())
    })
}
