//! How long a run will take, told before it starts.

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::Recipe;
use kd_train::cache::{Budget, Forecast};

use crate::{device::Selection, format::duration};

/// Forward passes that a training step counts as: forward, gradients of the input and of the
/// weights, and the optimiser. Measured on Flex it is between 3.5 and 4.6.
const STEP: f64 = 4.0;
/// Pictures in a timed batch: enough to fill the cores, few enough for a network of gigaMACs.
const BATCH: usize = 8;

/// Shape and number of the pictures of a set, known without reading it.
pub struct Nominal {
    pub channels: usize,
    pub size: usize,
    pub classes: usize,
    pub train: usize,
}

/// A sentence on the time that a recipe will take, from a timed forward pass of each network.
///
/// # Errors
/// When a network does not exist.
pub fn text(recipe: &Recipe, seeds: u32, selection: &Selection, device: &Device) -> Result<String> {
    let Some(nominal) = nominal(recipe) else {
        return Ok(format!(
            "the time that `{}` takes is not known",
            recipe.data.name
        ));
    };
    let student = seconds_per_image(&recipe.student.model, &nominal, device)?;
    let (mut teacher, mut train_teacher) = (0.0, 0.0);
    if let Some(spec) = &recipe.teacher {
        teacher = seconds_per_image(&spec.model, &nominal, device)?;
        if spec.weights.is_none() {
            let budget = spec.train.as_ref().unwrap_or(&recipe.train);
            train_teacher = STEP * teacher * pictures(recipe, budget, nominal.train);
        }
    }
    let pictures = pictures(recipe, &recipe.train, nominal.train) * f64::from(seeds);
    let alone = if recipe.compare && recipe.teacher.is_some() {
        STEP * student * pictures
    } else {
        0.0
    };
    let asked = 1.0 - saved(recipe, seeds, &nominal);
    let distilled = (STEP * student + teacher * asked) * pictures;
    let parts: Vec<_> = [
        ("training the teacher", train_teacher),
        ("student alone", alone),
        ("student with its teacher", distilled),
    ]
    .into_iter()
    .filter(|(_, seconds)| *seconds > 0.0)
    .map(|(what, seconds)| format!("{what} {}", duration(seconds)))
    .collect();
    Ok(format!(
        "estimated time on {selection}: {} ({})\n  from a timed forward pass of each network, a \
         training step counted as {STEP}\n  `cargo xtask cifar100 --small` trains a pair that a \
         CPU can; --epochs, --train-limit and --teacher-weights shorten this one",
        duration(train_teacher + alone + distilled),
        parts.join(", ")
    ))
}

/// Share of the teacher's work that its cache will save, from 0 to 1.
fn saved(recipe: &Recipe, seeds: u32, nominal: &Nominal) -> f64 {
    let Some(cache) = recipe.teacher.as_ref().and_then(|t| t.cache.as_ref()) else {
        return 0.0;
    };
    let size = (nominal.size, nominal.size);
    let set = training_set(recipe, nominal.train);
    let budget = Budget::new(recipe, seeds as usize, set.round() as usize, size);
    Forecast::new(cache, &recipe.data.augment, &budget).saved
}

/// Pictures that a budget trains on.
fn pictures(recipe: &Recipe, budget: &kd_train::TrainConfig, available: usize) -> f64 {
    let set = training_set(recipe, available);
    let epoch = match budget.batches_per_epoch {
        Some(batches) => set.min((batches * budget.batch) as f64),
        None => set,
    };
    epoch * budget.epochs as f64
}

/// Pictures of the training split.
fn training_set(recipe: &Recipe, available: usize) -> f64 {
    let data = &recipe.data;
    match data.train_limit {
        Some(limit) => limit.min(available) as f64,
        None => available as f64 * (1.0 - data.validation),
    }
}

/// What is known of a recipe's data beforehand; none for pictures of the user's own.
pub fn nominal(recipe: &Recipe) -> Option<Nominal> {
    let (channels, size, classes, train) = match recipe.data.name.as_str() {
        "cifar10" => (3, 32, 10, 50_000),
        "cifar100" => (3, 32, 100, 50_000),
        "mnist" | "fashion_mnist" => (1, 28, 10, 60_000),
        "fashion_mnist_small" => (1, 28, 10, 10_000),
        _ => return None,
    };
    Some(Nominal {
        channels,
        size,
        classes,
        train,
    })
}

fn seconds_per_image(model: &str, nominal: &Nominal, device: &Device) -> Result<f64> {
    let config = NetworkConfig::new(model, nominal.classes, nominal.channels);
    let network = Network::new(&config, device)?;
    let shape = [BATCH, nominal.channels, nominal.size, nominal.size];
    let images = Tensor::<4>::zeros(shape, device);
    let forward = || {
        let start = Instant::now();
        let output = network.forward(images.clone(), &Taps::none());
        // Reading the result waits for devices that compute in the background.
        let _ = output.logits.into_data();
        start.elapsed().as_secs_f64() / BATCH as f64
    };
    forward();
    Ok(forward())
}
