//! `kd train`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;
use kd_train::{Error, Left, Recipe, RunOptions, Summary, track::Target};

use super::DeviceArgument;
use crate::failure::{BadInput, WithHint};
use crate::{estimate, interrupt::Interrupt, progress::Watch, table};

/// Run a recipe: train the student alone and distilled, measure both, write a report
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd train recipes/quickstart.toml
  kd train recipes/quickstart.toml --seeds 3 --out runs/three
  kd train recipes/quickstart.toml --set student.model=resnet14 --set train.lr.peak=0.02
  kd train recipes/quickstart.toml --set teacher.weights=      (an empty value drops a key)
  kd train --resume runs/three                                 (after an interruption)

The run folder gets recipe.toml as it was resolved, metrics.jsonl, student.safetensors,
summary.json, report.html and README.md.

A run that was interrupted goes on by the same command, or by --resume with its folder. It ends as
if it had never stopped, to the last bit.")]
pub struct Arguments {
    /// The recipe, a TOML file; with --resume the run's own when it is left out.
    #[arg(required_unless_present = "resume")]
    recipe: Option<PathBuf>,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Epochs of every training that the recipe asks for: a teacher without weights, stages, the student. [default:
    /// the recipe's]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
    #[command(flatten)]
    device: DeviceArgument,
    /// How many times to train, each with its own seed; the table shows mean and standard deviation
    /// [default: 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Folder for the results [default: the first of runs/NAME, runs/NAME-2, ... that is free or holds
    /// the same run, interrupted].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the interrupted run in a folder.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["out", "fresh"])]
    resume: Option<PathBuf>,
    /// Train everything anew. Otherwise an interrupted run goes on, and a training that an earlier run
    /// finished with the same networks, objective, budget, seed, data and device is taken from the folder
    /// `finished` beside the run folder.
    #[arg(long)]
    fresh: bool,
    /// Show the metrics in trackers too, besides those of the recipe: tensorboard, wandb, mlflow=URI.
    #[arg(long, value_name = "TO,...", value_delimiter = ',')]
    track: Vec<Target>,
    /// Show no progress, only the results.
    #[arg(long, short)]
    quiet: bool,
    /// Tell how long the run will take before it starts.
    #[arg(long, hide = true)]
    announce_estimate: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let left = match &arguments.resume {
        Some(folder) => Some(interrupted(folder)?),
        None => None,
    };
    let mut recipe = match (&arguments.recipe, &arguments.resume) {
        (Some(path), _) => Recipe::load(path, &arguments.overrides)?,
        (None, Some(folder)) => Recipe::load(&folder.join("recipe.toml"), &arguments.overrides)?,
        (None, None) => return Err(BadInput("name a recipe, or a run to go on with".into()).into()),
    };
    if let Some(epochs) = arguments.epochs {
        recipe = recipe.with_epochs(epochs as usize)?;
    }
    recipe.track.add(&arguments.track);
    let mut seeds = arguments.seeds.unwrap_or(1) as usize;
    if let Some(left) = left {
        match left {
            Left::Interrupted { seeds: begun, .. } if arguments.seeds.is_none() => seeds = begun,
            Left::Finished => return finished(arguments.resume.as_deref()),
            _ => {}
        }
    }
    let mut watch = Watch::new(arguments.quiet, Interrupt::listen()?);
    let recipe = recipe.complete(&mut watch)?;
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let folders = Folders::new(arguments, &recipe.name);
    let mut out = folders.all();
    let mut options = RunOptions {
        out: out.next().unwrap_or_default(),
        seeds,
        device_name: selection.to_string(),
        reuse: !arguments.fresh,
        resume: !arguments.fresh,
    };
    if arguments.announce_estimate {
        let finished = options.reuse.then(|| options.finished());
        let finished = finished.as_deref();
        eprintln!(
            "{}",
            estimate::text(&recipe, seeds as u32, finished, &selection, &device)?
        );
    }
    let result = loop {
        match kd_train::run(&recipe, &options, &device, &mut watch) {
            // Another run has taken the name a moment ago.
            Err(Error::Taken { .. }) if !folders.only => {
                options.out = out.next().unwrap_or_default();
            }
            result => break result,
        }
    };
    drop(watch);
    let summary = result.map_err(|error| with_hint(error, &options))?;
    print(&summary, &options.out)
}

fn print(summary: &Summary, out: &Path) -> Result<()> {
    super::print(format_args!(
        "{}\n\n{}",
        table::results(summary),
        table::places(out, summary)
    ))
}

/// What a folder holds that the user wants to go on with.
fn interrupted(folder: &Path) -> Result<Left> {
    match kd_train::left_in(folder)? {
        Left::Nothing => Err(BadInput(format!(
            "there is no run in {}: name the folder of an interrupted run with --resume, or start one with --out",
            folder.display()
        ))
        .into()),
        left => Ok(left),
    }
}

/// Shows the results of a run that needs no resuming, as a job does that is started once more.
fn finished(folder: Option<&Path>) -> Result<()> {
    let folder = folder.unwrap_or(Path::new("."));
    let path = folder.join("summary.json");
    let text = std::fs::read_to_string(&path).map_err(|_| {
        BadInput(format!(
            "the run in {} was interrupted, and a version of kd began it that could not go on: start it again \
             with --out",
            folder.display()
        ))
    })?;
    let summary = Summary::read(&text).with_context(|| format!("read {}", path.display()))?;
    eprintln!("the run in {} is finished", folder.display());
    print(&summary, folder)
}

/// An error with the command by which the run goes on, where it can.
fn with_hint(error: Error, options: &RunOptions) -> anyhow::Error {
    let same_again = matches!(error, Error::NotFinite { .. } | Error::Taken { .. });
    match kd_train::left_in(&options.out) {
        Ok(Left::Interrupted { device, .. }) if !same_again => {
            let device = match device.as_str() {
                "flex" => String::new(),
                device => format!(" --device {device}"),
            };
            let out = options.out.display();
            let hint = format!("to go on: kd train --resume {out}{device}");
            WithHint { error, hint }.into()
        }
        _ => error.into(),
    }
}

/// Where a run may go.
struct Folders {
    /// The only place, or the first.
    base: PathBuf,
    only: bool,
}

impl Folders {
    fn new(arguments: &Arguments, name: &str) -> Self {
        let given = arguments.resume.as_ref().or(arguments.out.as_ref());
        Self {
            base: given
                .cloned()
                .unwrap_or_else(|| Path::new("runs").join(name)),
            only: given.is_some(),
        }
    }

    /// The places to try, one after the other: those that are free, or hold a run to go on with.
    fn all(&self) -> impl Iterator<Item = PathBuf> {
        let numbered = |number: usize| {
            let mut name = self.base.clone().into_os_string();
            name.push(format!("-{number}"));
            PathBuf::from(name)
        };
        let free = |path: &PathBuf| {
            let left = || kd_train::left_in(path);
            self.only || !path.exists() || matches!(left(), Ok(Left::Interrupted { .. }))
        };
        let others = (2..).map(numbered);
        [self.base.clone()].into_iter().chain(others).filter(free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_run_is_never_written_over() {
        let parent = tempfile::tempdir().unwrap();
        let base = parent.path().join("a");
        let first = || {
            let (base, only) = (base.clone(), false);
            Folders { base, only }.all().next().unwrap()
        };
        assert_eq!(first(), base);
        std::fs::create_dir(&base).unwrap();
        std::fs::create_dir(parent.path().join("a-2")).unwrap();
        assert_eq!(first(), parent.path().join("a-3"));
    }
}
