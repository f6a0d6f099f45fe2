//! `kd train`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_train::{Recipe, RunOptions};

use super::DeviceArgument;
use crate::{estimate, interrupt::Interrupt, progress::Watch, table};

/// Run a recipe: train the student alone and distilled, measure both, write a report
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd train recipes/quickstart.toml
  kd train recipes/quickstart.toml --seeds 3 --out runs/three
  kd train recipes/quickstart.toml --set student.model=resnet14 --set train.lr.peak=0.02
  kd train recipes/quickstart.toml --set teacher.weights=      (an empty value drops a key)

The run folder gets recipe.toml as it was resolved, metrics.jsonl, student.safetensors,
summary.json, report.html and README.md.")]
pub struct Arguments {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Epochs of every training that the recipe asks for: a teacher without weights, stages, the student. [default:
    /// the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    device: DeviceArgument,
    /// How many times to train, each with its own seed; the table shows mean and standard deviation.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Folder for the results [default: the first free one of runs/NAME, runs/NAME-2, ...].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Train everything anew. Otherwise a training that an earlier run finished with the same networks,
    /// objective, budget, seed, data and device is taken from the folder `finished` beside the run folder.
    #[arg(long)]
    fresh: bool,
    /// Show no progress, only the results.
    #[arg(long, short)]
    quiet: bool,
    /// Tell how long the run will take before it starts.
    #[arg(long, hide = true)]
    announce_estimate: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let mut recipe = Recipe::load(&arguments.recipe, &arguments.overrides)?;
    if let Some(epochs) = arguments.epochs {
        recipe = recipe.with_epochs(epochs as usize)?;
    }
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => free_folder(Path::new("runs"), &recipe.name),
    };
    let options = RunOptions {
        out: out.clone(),
        seeds: arguments.seeds as usize,
        device_name: selection.to_string(),
        reuse: !arguments.fresh,
    };
    if arguments.announce_estimate {
        let finished = options.reuse.then(|| options.finished());
        let finished = finished.as_deref();
        eprintln!(
            "{}",
            estimate::text(&recipe, arguments.seeds, finished, &selection, &device)?
        );
    }
    let mut watch = Watch::new(arguments.quiet, Interrupt::listen()?);
    let summary = kd_train::run(&recipe, &options, &device, &mut watch)?;
    drop(watch);
    super::print(format_args!(
        "{}\n\n{}",
        table::results(&summary),
        table::places(&out, &summary)
    ))
}

/// The first of `NAME`, `NAME-2`, `NAME-3`, ... that does not exist.
fn free_folder(parent: &Path, name: &str) -> PathBuf {
    let mut folder = parent.join(name);
    let mut number = 2;
    while folder.exists() {
        folder = parent.join(format!("{name}-{number}"));
        number += 1;
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_is_never_written_over() {
        let parent = tempfile::tempdir().unwrap();
        assert_eq!(free_folder(parent.path(), "a"), parent.path().join("a"));
        std::fs::create_dir(parent.path().join("a")).unwrap();
        std::fs::create_dir(parent.path().join("a-2")).unwrap();
        assert_eq!(free_folder(parent.path(), "a"), parent.path().join("a-3"));
    }
}
