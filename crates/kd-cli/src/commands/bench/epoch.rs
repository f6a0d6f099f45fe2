//! `kd bench epoch`.

mod parts;

use std::path::PathBuf;

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::Args;
use kd_train::{Error, Event, Observer, Recipe, Role, RunOptions, Silent};
use serde_json::json;

use self::parts::Parts;
use super::BURN;
use crate::{
    commands::{DeviceArgument, print},
    failure::BadInput,
};

/// Images per second of whole distillation epochs, beside their parts measured alone
#[derive(Args)]
#[command(after_help = "\
An epoch is the one that `kd train` runs: images loaded and augmented by a thread of their own,
the teacher's forward pass, the student's step. Beside it stand the parts, one at a time, and their
sum; what the objective itself costs is in none of them (`kd bench losses`). An epoch shorter than
the sum hides the loader's work behind the step; a longer one waits. The recipe's teacher needs
weights. RAYON_NUM_THREADS sets the threads that compute on the CPU.

Examples:
  kd bench epoch                                  recipes/quickstart.toml
  kd bench epoch --data data --set train.batches_per_epoch=100
                                                  recipes/cifar100/small.toml on CIFAR-100 in data/
  kd bench epoch --cache all --epochs 3           again with the teacher's outputs kept")]
pub struct Arguments {
    /// The recipe [default: quickstart.toml of --recipes, with --data cifar100/small.toml].
    recipe: Option<PathBuf>,
    /// Folder with CIFAR-100.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder that the default recipes are in.
    #[arg(long, value_name = "DIR", default_value = "recipes")]
    recipes: PathBuf,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Epochs to run; with a cache, those after the first find the teacher's outputs.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    /// Run them again with `teacher.cache.views` set to this.
    #[arg(long, value_name = "VIEWS")]
    cache: Option<String>,
    /// Write the measurements to a file.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let recipe = arguments.recipe(&[])?;
    // A mistake in the second recipe is told before the first one has run.
    let cached = arguments.cached_recipe()?;
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let parts = Parts::measure(&recipe, &device)?;
    print(format_args!(
        "recipe `{}` on {selection}: {} with {}, batches of {}, {} threads\n\n\
         | {:27} | {:>8} | {:>10} | {:>10} |\n|:{:-<27}-|-{:->8}:|-{:->10}:|-{:->10}:|",
        recipe.name,
        recipe.student.model,
        parts.teacher_model,
        recipe.train.batch,
        rayon::current_num_threads(),
        "part",
        "images/s",
        "µs/image",
        "of the sum",
        "",
        "",
        "",
        ""
    ))?;
    let line = |part: &str, rate: f64| {
        print(format_args!(
            "| {part:27} | {rate:8.1} | {:10.1} | {:8.1} % |",
            1e6 / rate,
            100.0 * parts.sum() / rate
        ))
    };
    line("loader alone", parts.loader)?;
    line("teacher alone", parts.teacher)?;
    line("student alone, on labels", parts.student)?;
    line("sum, one after the other", parts.sum())?;
    let name = selection.to_string();
    let rates = arguments.epochs(&recipe, &name, &device, &mut |epoch, rate| {
        line(&format!("epoch {epoch}"), rate)
    })?;
    let cached = match &cached {
        None => None,
        Some((views, recipe)) => {
            let rates = arguments.epochs(recipe, &name, &device, &mut |epoch, rate| {
                line(&format!("epoch {epoch}, cache {views}"), rate)
            })?;
            Some(json!({ "views": views, "epochs": rates }))
        }
    };
    let Some(path) = &arguments.json else {
        return Ok(());
    };
    let all = json!({
        "burn": BURN,
        "kd": env!("CARGO_PKG_VERSION"),
        "backend": selection.to_string(),
        "threads": rayon::current_num_threads(),
        "batch": recipe.train.batch,
        "recipe": recipe.name,
        "loader": parts.loader,
        "teacher": parts.teacher,
        "student": parts.student,
        "sum": parts.sum(),
        "epochs": rates,
        "cached": cached,
    });
    super::write_json(path, &all)
}

impl Arguments {
    /// The recipe with its overrides, of which `more` come last.
    fn recipe(&self, more: &[String]) -> Result<Recipe> {
        let path = match (&self.recipe, &self.data) {
            (Some(path), _) => path.clone(),
            (None, None) => self.recipes.join("quickstart.toml"),
            (None, Some(_)) => self.recipes.join("cifar100/small.toml"),
        };
        let mut overrides = vec!["compare=false".to_owned()];
        if let Some(folder) = &self.data {
            overrides.push(format!("data.dir={}", folder.display()));
        }
        overrides.extend_from_slice(&self.overrides);
        overrides.extend_from_slice(more);
        let recipe = Recipe::load(&path, &overrides)?.complete(&mut Silent)?;
        let trained = recipe.teacher.as_ref().is_some_and(|t| t.weights.is_some());
        let problem = if !trained {
            "teacher.weights must be given: an epoch of distillation has a trained teacher".into()
        } else if recipe.train.epochs < self.epochs as usize {
            format!(
                "it trains for {} epochs, fewer than --epochs {}; raise train.epochs with --set",
                recipe.train.epochs, self.epochs
            )
        } else {
            return Ok(recipe);
        };
        Err(BadInput(format!("{}: {problem}", path.display())).into())
    }

    /// The views to keep and the recipe that does, when it was asked for.
    fn cached_recipe(&self) -> Result<Option<(&str, Recipe)>> {
        let Some(views) = &self.cache else {
            return Ok(None);
        };
        let recipe = self.recipe(&[format!("teacher.cache.views={views}")])?;
        Ok(Some((views, recipe)))
    }

    /// Images per second of each epoch; `show` is told of each as it ends.
    fn epochs(
        &self,
        recipe: &Recipe,
        device_name: &str,
        device: &Device,
        show: &mut dyn FnMut(usize, f64) -> Result<()>,
    ) -> Result<Vec<f64>> {
        let folder = tempfile::tempdir().context("make a folder for the run")?;
        let options = RunOptions {
            reuse: false,
            resume: false,
            out: folder.path().join("run"),
            seeds: 1,
            device_name: device_name.into(),
        };
        let mut watch = Watch {
            wanted: self.epochs as usize,
            rates: Vec::new(),
            show,
            shown: Ok(()),
        };
        match kd_train::run(recipe, &options, device, &mut watch) {
            Ok(_) | Err(Error::Stopped { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        watch.shown?;
        Ok(watch.rates)
    }
}

/// Notes the epochs of the distilled student, and ends the run after enough of them.
struct Watch<'a> {
    wanted: usize,
    rates: Vec<f64>,
    show: &'a mut dyn FnMut(usize, f64) -> Result<()>,
    shown: Result<()>,
}

impl Observer for Watch<'_> {
    fn event(&mut self, event: Event<'_>) {
        if let Event::Epoch(record) = event
            && record.role == Role::Distilled
            && self.shown.is_ok()
        {
            self.rates.push(record.images_per_second);
            self.shown = (self.show)(record.epoch, record.images_per_second);
        }
    }

    fn stop(&self) -> bool {
        // It is asked after a step: one of the next epoch, which nobody counts.
        self.rates.len() >= self.wanted || self.shown.is_err()
    }
}
