//! `kd search`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kd_train::search::{
    self, Options, Search, SearchObserver, Trial, TrialOptions, Workers, train_trial,
};
use kd_train::study::{Shard, Shared};
use kd_train::{Event, Observer, Recipe};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Try settings of a recipe by grid, at random or by TPE, and stop bad ones early
#[derive(Args)]
#[command(after_help = "\
A search is a TOML file of a recipe and what may vary in it:

  recipe = \"../quickstart.toml\"     # relative to the search
  sampler = \"tpe\"                   # or grid, random
  trials = 20                       # a grid tries all
  seeds = 1                         # trainings of a trial
  asha = { least = 2, eta = 3 }     # stop bad trials after 2, 6, ... epochs; may be left out
  objectives = [\"validation\", \"macs\"]
  [base]                            # changes that all trials share; may be left out
  train.epochs = 18
  [parameters]
  objective.kd.temperature = { from = 1.0, to = 16.0, log = true }
  objective.kd.weight = { from = 0.1, to = 0.9 }
  student.model = [\"resnet8\", \"resnet14\"]

Examples:
  kd search recipes/search/quick.toml
  kd search recipes/search/quick.toml --jobs 2 --out runs/quick-2

The folder gets search.json, search.html, best.toml, and the run folders of every trial. Started again, the command
goes on where it ended. Trials are chosen by the validation split; the test split is not read.")]
pub struct Arguments {
    /// The search, a TOML file.
    space: PathBuf,
    /// Override a key of the recipe in every trial; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    device: DeviceArgument,
    /// Trials beside each other, each in a process with its share of the CPU threads. With 1 all follows from the seed.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: u16,
    /// Folder for the results [default: runs/NAME, also when it exists].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Be one of several workers that share the folder, also of other machines: train trials that no other does. Of a grid
    /// or random points, without ASHA.
    #[arg(long, conflicts_with = "jobs")]
    worker: bool,
    /// Train the I-th of N parts of the trials.
    #[arg(long, value_name = "I/N", conflicts_with = "jobs")]
    shard: Option<Shard>,
    /// What workers share: a folder, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX
    /// [default: the folder for the results].
    #[arg(long, value_name = "STORE", conflicts_with = "jobs")]
    store: Option<String>,
    /// After how many seconds without a sign of life a worker's trial is taken over.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
    lease: u64,
    /// Show no progress, only the results.
    #[arg(long, short)]
    quiet: bool,
    /// Train SPACE, which is the recipe of a trial, with so many seeds: what --jobs starts.
    #[arg(long, hide = true, requires = "out")]
    trial_seeds: Option<usize>,
    /// Epochs after which such a trial pauses.
    #[arg(long, hide = true, requires = "trial_seeds")]
    trial_epochs: Option<usize>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let selection = arguments.device.selection()?;
    if let (Some(seeds), Some(out)) = (arguments.trial_seeds, &arguments.out) {
        let recipe = Recipe::load(&arguments.space, &[])?;
        let options = TrialOptions {
            out: out.clone(),
            seeds,
            epochs: arguments.trial_epochs,
            device_name: selection.to_string(),
            shared: None,
        };
        let mut watch = Watch::new(true, Interrupt::listen()?);
        return Ok(train_trial(
            &recipe,
            &options,
            &selection.open()?,
            &mut watch,
        )?);
    }
    let search = Search::load(&arguments.space, &arguments.overrides)?;
    let device = selection.open()?;
    let program = std::env::current_exe().context("find this program, to start it again")?;
    let name = selection.to_string();
    let threads = (rayon::current_num_threads() / usize::from(arguments.jobs)).max(1);
    let start = |recipe: &Path, trial: &TrialOptions| {
        let mut command = Command::new(&program);
        command
            .arg("search")
            .arg(recipe)
            .arg("--out")
            .arg(&trial.out)
            .args(["--device", &name, "--trial-seeds", &trial.seeds.to_string()])
            .env("RAYON_NUM_THREADS", threads.to_string());
        if let Some(epochs) = trial.epochs {
            command.args(["--trial-epochs", &epochs.to_string()]);
        }
        command
    };
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => Path::new("runs").join(&search.name),
    };
    let store = arguments.store.as_ref();
    let shared = store.map(|store| Shared::open(store, &out));
    let options = Options {
        out,
        device_name: name.clone(),
        workers: match arguments.jobs {
            1 => Workers::Here,
            jobs => Workers::Beside {
                jobs: jobs.into(),
                start: &start,
            },
        },
        shared,
    };
    let interrupt = Interrupt::listen()?;
    let mut progress = Progress {
        watch: Watch::new(arguments.quiet, interrupt.clone()),
        quiet: arguments.quiet,
        trials: search.trials,
        interrupt,
    };
    if arguments.worker || arguments.shard.is_some() {
        let own = || Shared::new(&options.out);
        let shared = options.shared.clone().unwrap_or_else(own);
        let shard = arguments.shard.unwrap_or(Shard::ALL);
        let lease = Duration::from_secs(arguments.lease);
        let device = (&device, name.as_str());
        let worked = search::work(&search, &shared, shard, lease, device, &mut progress)?;
        drop(progress);
        return super::print(format_args!(
            "trials with one seed trained here: {}, by other workers: {}; `kd search` without --worker and --shard makes \
             the report",
            worked.finished, worked.by_others
        ));
    }
    let found = search::run(&search, &options, &device, &mut progress)?;
    drop(progress);
    super::print(format_args!(
        "{}\nsearch folder  {}\nreport         {}",
        found.to_text(),
        options.out.display(),
        options.out.join("search.html").display()
    ))
}

/// A line for every trial, and its run as `kd train` shows it.
struct Progress {
    watch: Watch,
    quiet: bool,
    trials: usize,
    interrupt: Interrupt,
}

impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        self.watch.event(event);
    }

    fn stop(&self) -> bool {
        self.watch.stop()
    }
}

impl SearchObserver for Progress {
    fn trial(&mut self, trial: &Trial, epochs: usize) {
        // What the run before left on the screen ends here.
        self.watch = Watch::new(self.quiet, self.interrupt.clone());
        if !self.quiet {
            let epochs = match epochs {
                1 => "1 epoch".to_owned(),
                epochs => format!("{epochs} epochs"),
            };
            eprintln!(
                "trial {} of {}, to {epochs}: {}",
                trial.number,
                self.trials,
                trial.changes.join(", ")
            );
        }
    }
}
