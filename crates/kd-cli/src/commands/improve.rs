//! `kd improve`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_train::improve::{self, Budget, ImproveObserver, Options};
use kd_train::{Event, Observer, Recipe};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Do what helps a student that does not improve, step by step, and say what each step gave
#[derive(Args)]
#[command(after_help = "\
The steps: 1 check the baseline (rate test, a small batch learned by heart, the spread of seeds), 2 diagnose the
student, and give the teacher its own normalisation if it lacks it, 3 terms on feature maps at the advised levels,
4 weights and temperature by a search, 5 an assistant if the capacity gap asks for one. A step stays when it is
better on validation with the same seeds (95 % interval of the paired differences). The test split is read once, at
the end.

Examples:
  kd improve recipes/quickstart.toml --budget 2h
  kd improve recipes/quickstart.toml --budget 60 --seeds 3       60 trainings, wherever they run

The folder gets improve.html, improve.json and best.toml, the recipe that won. Started again, the command goes on
where it ended, without training anything twice.")]
pub struct Arguments {
    /// The recipe, a TOML file with a teacher.
    recipe: PathBuf,
    /// What it may cost: a time such as 2h, 90m or 1h30m, or a number of trainings.
    #[arg(long, value_name = "TIME|N")]
    budget: Budget,
    /// Seeds of every comparison; one more chooses between candidates.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: usize,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    #[command(flatten)]
    device: DeviceArgument,
    /// Folder for the results [default: runs/NAME-improve, also when it exists].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Show no progress, only the results.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let selection = arguments.device.selection()?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => {
            let recipe = Recipe::load(&arguments.recipe, &arguments.overrides)?;
            Path::new("runs").join(format!("{}-improve", recipe.name))
        }
    };
    let options = Options {
        out,
        device_name: selection.to_string(),
        budget: arguments.budget,
        seeds: arguments.seeds,
    };
    let interrupt = Interrupt::listen()?;
    let mut progress = Progress {
        watch: Watch::new(arguments.quiet, interrupt.clone()),
        quiet: arguments.quiet,
        interrupt,
    };
    let device = selection.open()?;
    let (recipe, overrides) = (&arguments.recipe, &arguments.overrides);
    let found = improve::run(recipe, overrides, &options, &device, &mut progress)?;
    drop(progress);
    super::print(format_args!(
        "{}\n\nbest recipe  {}\nreport       {}",
        found.to_text(),
        options.out.join("best.toml").display(),
        options.out.join("improve.html").display()
    ))
}

/// A line for every training, and its run as `kd train` shows it.
struct Progress {
    watch: Watch,
    quiet: bool,
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

impl ImproveObserver for Progress {
    fn turn(&mut self, what: &str) {
        // What the run before left on the screen ends here.
        self.watch = Watch::new(self.quiet, self.interrupt.clone());
        if !self.quiet {
            eprintln!("== {what}");
        }
    }
}
