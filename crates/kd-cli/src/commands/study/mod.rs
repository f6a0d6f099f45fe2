//! `kd study`.

mod check;
mod dots;
mod fair;
mod file;
mod folder;
mod page;
mod results;
mod words;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use burn::tensor::Device;
use clap::Args;
use kd_train::{RunOptions, Summary};

use self::file::{More, Study, Variant};
use self::folder::State;
use super::DeviceArgument;
use crate::{files, interrupt::Interrupt, progress::Watch};

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
    let more = More {
        overrides: &arguments.overrides,
        seeds: arguments.seeds.map(|seeds| seeds as usize),
    };
    let study = file::load(&arguments.study, &more)?;
    let out = match &arguments.out {
        Some(out) => out.clone(),
        None => Path::new("runs").join(&study.name),
    };
    let selection = arguments.device.selection()?;
    let device_name = selection.to_string();
    let states = || -> Result<Vec<State>> {
        let variants = study.variants.iter();
        variants
            .map(|v| folder::state(&out.join(&v.name), &v.recipe, study.seeds, &device_name))
            .collect()
    };
    // A mistake leaves no folder behind.
    states()?;
    let device = selection.open()?;
    check::variants(&study, &device)?;
    std::fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let _lock = folder::lock(&out)?;
    let states = states()?;
    let mut runner = Runner {
        study: &study,
        out: &out,
        device: &device,
        device_name,
        quiet: arguments.quiet,
        interrupt: Interrupt::listen()?,
    };
    let mut finished = Vec::new();
    for (at, (variant, state)) in study.variants.iter().zip(states).enumerate() {
        let place = format!(
            "variant {} of {}, `{}`",
            at + 1,
            study.variants.len(),
            variant.name
        );
        let summary = match runner.summary(&place, variant, state) {
            Ok(summary) => summary,
            Err(error) if finished.is_empty() => return Err(error.context(place)),
            Err(error) => {
                return Err(error.context(format!(
                    "{place} (results so far are in {}; the same command goes on from here)",
                    out.display()
                )));
            }
        };
        finished.push((variant, summary));
        // After every variant, so that there is something to look at meanwhile.
        write(&study, &finished, &out)?;
    }
    let table = results::compare(&study, &finished).map(|r| words::markdown(&r));
    super::print(format_args!(
        "{}\nstudy folder  {}\nreport        {}",
        table.unwrap_or_default(),
        out.display(),
        out.join("study.html").display()
    ))
}

/// What all variants share.
struct Runner<'a> {
    study: &'a Study,
    out: &'a Path,
    device: &'a Device,
    device_name: String,
    quiet: bool,
    interrupt: Interrupt,
}

impl Runner<'_> {
    /// A variant's results, from its folder when it is finished.
    fn summary(&mut self, place: &str, variant: &Variant, state: State) -> Result<Summary> {
        let folder = self.out.join(&variant.name);
        match state {
            State::Finished(summary) => {
                self.say(&format!("{place}: finished before, not run again"));
                return Ok(*summary);
            }
            State::Unfinished => {
                self.say(&format!("{place}: was not finished, begins again"));
                folder::clear(&folder)?;
            }
            State::New => self.say(place),
        }
        let options = RunOptions {
            out: folder,
            seeds: self.study.seeds,
            device_name: self.device_name.clone(),
            reuse: true,
        };
        let mut watch = Watch::new(self.quiet, self.interrupt.clone());
        Ok(kd_train::run(
            &variant.recipe,
            &options,
            self.device,
            &mut watch,
        )?)
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// Writes what is known so far.
fn write(study: &Study, finished: &[(&Variant, Summary)], out: &Path) -> Result<()> {
    let Some(results) = results::compare(study, finished) else {
        return Ok(());
    };
    let json = serde_json::to_string_pretty(&results)? + "\n";
    files::write(&out.join("study.json"), &json)?;
    files::write(&out.join("table.md"), &words::markdown(&results))?;
    files::write(&out.join("study.html"), &page::html(&results)?)
}
