//! `kd study`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use kd_train::{
    Event, Observer,
    study::{self, Earlier, Shard, Shared, Study, StudyObserver, Turn},
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
  kd study recipes/studies/methods.toml --worker      (on as many machines as share the folder)

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
    /// Be one of several workers, on this machine or others: do trainings that no other does, until none is left.
    #[arg(long)]
    worker: bool,
    /// Do the I-th of N parts of the trainings.
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// What workers share: a folder, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX
    /// [default: the folder for the results].
    #[arg(long, value_name = "STORE")]
    store: Option<String>,
    /// After how many seconds without a sign of life a worker's training is taken over.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    lease: u64,
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
    let name = selection.to_string();
    let device = (&device, name.as_str());
    let named = arguments.store.as_ref();
    let shared = named.map_or_else(|| Shared::new(&out), |store| Shared::open(store, &out));
    if arguments.worker || arguments.shard.is_some() {
        let shard = arguments.shard.unwrap_or(Shard::ALL);
        let lease = Duration::from_secs(arguments.lease);
        let worked = study::work(&study, &shared, shard, lease, device, &mut progress)?;
        drop(progress);
        return super::print(format_args!(
            "trainings of {} variants and seeds done here, {} by other workers; `kd study` without --worker and \
             --shard makes the table",
            worked.finished, worked.by_others
        ));
    }
    let shared = arguments.store.as_ref().map(|_| &shared);
    let results = study::from(&study, &out, shared, device.0, device.1, &mut progress)?;
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
