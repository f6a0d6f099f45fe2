//! How long a run will take, told before it starts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_models::{Backbone, Network};
use kd_train::cache::{Forecast, showings};
use kd_train::{DataShape, Recipe, TrainConfig, Work};

use crate::{device::Selection, format::duration};

/// Forward passes that a training step counts as: forward, gradients of the input and of the
/// weights, and the optimiser. Measured on Flex it is between 3.5 and 4.6.
const STEP: f64 = 4.0;
/// Images in a timed batch: enough to fill the cores, few enough for a network of gigaMACs.
const BATCH: usize = 8;

/// A sentence on the time that a recipe will take, from a timed forward pass of each network.
/// `finished` is the folder of finished trainings, when the run may take some from there.
///
/// # Errors
/// When a network does not exist.
pub fn text(
    recipe: &Recipe,
    seeds: u32,
    finished: Option<&Path>,
    selection: &Selection,
    device: &Device,
) -> Result<String> {
    if recipe.detection.is_some() {
        return Ok("the time that a detector takes is told with its first steps".into());
    }
    let Some(data) = DataShape::known(recipe) else {
        return Ok(format!(
            "the time that `{}` takes is not known",
            recipe.data.name
        ));
    };
    let mut timed = BTreeMap::new();
    let mut cost = |model: &str| -> Result<f64> {
        if let Some(&seconds) = timed.get(model) {
            return Ok(seconds);
        }
        let seconds = seconds_per_image(model, &data, device)?;
        timed.insert(model.to_owned(), seconds);
        Ok(seconds)
    };
    let parts = parts(recipe, seeds, &data, &mut cost)?;
    let total = parts.iter().map(|(_, seconds)| seconds).sum();
    let spelled: Vec<_> = parts
        .iter()
        .map(|(what, seconds)| format!("{what} {}", duration(*seconds)))
        .collect();
    let stops = if stops_early(recipe) {
        " at most, as training may stop early"
    } else {
        ""
    };
    let taken = match finished.filter(|folder| folder.is_dir()) {
        Some(folder) => format!(
            "\n  trainings that an earlier run finished are taken from {} and cost nothing",
            folder.display()
        ),
        None => String::new(),
    };
    Ok(format!(
        "estimated time on {selection}: {}{stops} ({})\n  from a timed forward pass of each network, \
         a training step counted as {STEP}{taken}\n  `cargo xtask cifar100 --small` trains a pair that \
         a CPU can; --epochs, --train-limit and --teacher-weights shorten this one",
        duration(total),
        spelled.join(", ")
    ))
}

/// Seconds of every training of a run, all seeds of it together, with its name; `cost` says how long a
/// network's forward pass of one image takes.
fn parts(
    recipe: &Recipe,
    seeds: u32,
    data: &DataShape,
    cost: &mut dyn FnMut(&str) -> Result<f64>,
) -> Result<Vec<(String, f64)>> {
    let images = |budget: &TrainConfig| data.train as f64 * budget.showings(data.train);
    let mut parts = Vec::new();
    if let Some(plan) = recipe.teacher_plan() {
        let seconds: f64 = plan
            .models()
            .map(&mut *cost)
            .sum::<Result<f64>>()
            .map(|forward| STEP * forward * images(&plan.train))?;
        parts.push(("training the teacher".into(), seconds));
    }
    let asked = 1.0 - saved(recipe, seeds, data);
    // What stages change or write beside takes seconds.
    let plans = recipe.plans().into_iter();
    for plan in plans.filter(|plan| plan.work == Work::Train) {
        let mut seconds = 0.0;
        for model in plan.models() {
            seconds += STEP * cost(model)?;
        }
        for name in &plan.teachers {
            let Some(model) = recipe.model_of(name) else {
                continue;
            };
            seconds += cost(model)? * if plan.cached { asked } else { 1.0 };
        }
        let mut name = plan.role().title();
        if plan.students.len() > 1 {
            name.push_str(" and peers");
        }
        parts.push((name, seconds * images(&plan.train) * f64::from(seeds)));
    }
    Ok(parts)
}

/// Whether a training may end before its last epoch.
fn stops_early(recipe: &Recipe) -> bool {
    let plans = recipe.plans().into_iter().chain(recipe.teacher_plan());
    plans.into_iter().any(|plan| plan.train.patience.is_some())
}

/// Share of the teacher's work that its cache will save, from 0 to 1.
fn saved(recipe: &Recipe, seeds: u32, data: &DataShape) -> f64 {
    let Some(cache) = recipe.teacher.as_ref().and_then(|t| t.cache.as_ref()) else {
        return 0.0;
    };
    let shown = showings(recipe, seeds as usize, data.train);
    let views = recipe.data.augment.views((data.height, data.width));
    Forecast::new(cache, views, shown).saved
}

fn seconds_per_image(model: &str, data: &DataShape, device: &Device) -> Result<f64> {
    let config = data.network(model);
    let network = Network::new(&config, device)?;
    let shape = [BATCH, data.channels, data.height, data.width];
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A forward pass of one image: 3 s of the teacher, 2 s of the assistant, 1 s of the student.
    fn spelled(more: &str, seeds: u32) -> Vec<(String, f64)> {
        let text = format!(
            "name = \"x\"\ndata.train_limit = 100\nstudent.model = \"resnet8\"\n\
             teacher.model = \"resnet20\"\nobjective.kd = {{}}\n{more}\n\
             [train]\nepochs = 5\nlr.peak = 0.1\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.toml");
        std::fs::write(&path, text).unwrap();
        let recipe = Recipe::load(&path, &[]).unwrap();
        let mut cost = |model: &str| {
            Ok(match model {
                "resnet20" => 3.0,
                "resnet14" => 2.0,
                _ => 1.0,
            })
        };
        let data = DataShape::known(&recipe).unwrap();
        parts(&recipe, seeds, &data, &mut cost).unwrap()
    }

    fn named(parts: &[(&str, f64)]) -> Vec<(String, f64)> {
        parts.iter().map(|(n, s)| ((*n).to_owned(), *s)).collect()
    }

    #[test]
    fn every_training_of_every_seed_counts() {
        let one = spelled("", 1);
        let want = [
            ("training the teacher", 500.0 * 4.0 * 3.0),
            ("student alone", 500.0 * 4.0),
            ("student distilled", 500.0 * (4.0 + 3.0)),
        ];
        assert_eq!(one, named(&want));

        // The teacher is trained once, by its own budget; a stage has its own too.
        let chain = "teacher.train = { epochs = 2, lr.peak = 0.1 }\n\
                     student.teachers = [\"teacher\", \"assistant\"]\n\
                     student.peers = [\"resnet8\"]\n\
                     [stages.assistant]\nmodel = \"resnet14\"\n\
                     train = { epochs = 10, batch = 10, batches_per_epoch = 5, lr.peak = 0.1 }";
        let want = [
            ("training the teacher", 200.0 * 4.0 * 3.0),
            ("stage assistant", 3.0 * 500.0 * (4.0 * 2.0 + 3.0)),
            ("student alone and peers", 3.0 * 500.0 * 8.0),
            (
                "student distilled and peers",
                3.0 * 500.0 * (8.0 + 3.0 + 2.0),
            ),
        ];
        assert_eq!(spelled(chain, 3), named(&want));
    }

    #[test]
    fn what_is_not_trained_costs_nothing() {
        let with_weights = spelled("compare = false\nteacher.weights = \"t.safetensors\"", 1);
        assert_eq!(
            with_weights,
            named(&[("student distilled", 500.0 * (4.0 + 3.0))])
        );
        // An image has one view: the teacher is asked for it once in the five epochs of two seeds.
        let cached = "compare = false\ndata.augment = \"none\"\n\
                      teacher.weights = \"t.safetensors\"\nteacher.cache = {}";
        let found = spelled(cached, 2);
        let want = 1000.0 * 4.0 + 100.0 * 3.0;
        assert_eq!(found.len(), 1);
        assert!((found[0].1 - want).abs() < 1e-6, "{found:?}");
    }
}
