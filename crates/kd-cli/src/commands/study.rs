//! `kd study`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_train::{
    Event, Observer,
    study::{self, Earlier, Study, StudyObserver, Turn},
};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Compare variants of a recipe: every one with the same seeds, in one table
#[derive(Args)]
#[command(after_help = "\
A study is a TOML file of a recipe and named changes to it:

  recipe = \"quickstart.toml\"        # relative to the study
  seeds = 3
  [base]                            # changes that all variants share; may be left out
  train.epochs = 10
  [variants.kd]                     # the first also trains the student alone, for all
  objective.cross_entropy.weight = 0.1
  objective.kd.weight = 0.9
  [variants.dkd]                    # an `objective` takes the place of the recipe's
  objective.cross_entropy = {}
  objective.dkd = { beta = 2.0 }

Examples:
  kd study recipes/studies/methods.toml
  kd study recipes/studies/methods.toml --seeds 5 --set train.epochs=5 --out runs/short

The folder gets study.json, table.md, study.html, and the run folder of every variant. Started
again, the command goes on after the variants that are finished.")]
pub struct Arguments {
    /// The study, a TOML file.
    study: PathBuf,
    /// Override a key of the recipe in every variant; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    device: DeviceArgument,
    /// How many times to train each variant [default: the study's].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    seeds: Option<u32>,
    /// Folder for the results [default: runs/NAME, also when it exists].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show no progress, only the results.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let seeds = arguments.seeds.map(|seeds| seeds as usize);
    let study = Study::load(&arguments.study, &arguments.overrides, seeds)?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => Path::new("runs").join(&study.name),
    };
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let mut progress = Progress::new(arguments.quiet, Interrupt::listen()?);
    let results = study::run(&study, &out, &device, &selection.to_string(), &mut progress)?;
    drop(progress);
    super::print(format_args!(
        "{}\nstudy folder  {}\nreport        {}",
        results.to_markdown(),
        out.display(),
        out.join("study.html").display()
    ))
}

/// A line for every variant, and its run as `kd train` shows it.
struct Progress {
    watch: Watch,
    quiet: bool,
    interrupt: Interrupt,
}

impl Progress {
    fn new(quiet: bool, interrupt: Interrupt) -> Self {
        Self {
            watch: Watch::new(quiet, interrupt.clone()),
            quiet,
            interrupt,
        }
    }
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        self.watch.event(event);
    }

    fn stop(&self) -> bool {
        self.watch.stop()
    }
}

impl StudyObserver for Progress {
    fn variant(&mut self, turn: &Turn<'_>) {
        // What the run before left on the screen ends here.
        self.watch = Watch::new(self.quiet, self.interrupt.clone());
        if self.quiet {
            return;
        }
        match turn.earlier {
            Earlier::Nothing => eprintln!("{turn}"),
            Earlier::Unfinished => eprintln!("{turn}: was not finished, goes on"),
            Earlier::Finished => eprintln!("{turn}: finished before, not run again"),
        }
    }
}
