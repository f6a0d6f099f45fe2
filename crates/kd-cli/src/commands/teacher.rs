//! `kd teacher`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_train::study::Shard;
use kd_train::{AnswerWork, Recipe, RunOptions, teacher_answers};

use super::DeviceArgument;
use crate::format::{bytes, count};
use crate::{interrupt::Interrupt, progress::Watch};

/// Ask a recipe's teacher beforehand, on one machine or on several, and keep its answers in a file
#[derive(Args)]
#[command(after_help = "\
The recipe has teacher.weights and [teacher.cache] with place = \"file\". What is asked is what `kd train`
with the same --seeds would ask; it then finds the answers and asks nothing. An interrupted call goes on
by the same command.

Examples:
  kd teacher kd.toml                                    one process
  kd teacher kd.toml --shard 1/4                        on the first of four machines
  kd teacher kd.toml --merge runs/teacher-cache/*-of-4  their files into the one that kd train reads
  kd train kd.toml")]
pub struct Arguments {
    /// The recipe, a TOML file.
    recipe: PathBuf,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// How many seeds the run will have; with a number of views in teacher.cache.views one seed shows them all.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    seeds: u32,
    /// Ask for the I-th of N parts of the samples, into a file of its own.
    #[arg(long, value_name = "I/N", conflicts_with = "merge")]
    shard: Option<Shard>,
    /// Ask nothing: take the answers of the files of parts into the file that a run reads.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    merge: Vec<PathBuf>,
    /// Folder of the run that will read the answers: they lie in teacher-cache beside it, unless teacher.cache.path
    /// names a file [default: runs/NAME].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let mut watch = Watch::new(arguments.quiet, Interrupt::listen()?);
    let recipe = Recipe::load(&arguments.recipe, &arguments.overrides)?;
    let options = RunOptions {
        out: arguments
            .out
            .clone()
            .unwrap_or_else(|| Path::new("runs").join(&recipe.name)),
        seeds: arguments.seeds as usize,
        device_name: selection.to_string(),
        reuse: false,
        resume: false,
    };
    let work = match arguments.merge.as_slice() {
        [] => AnswerWork::Ask(arguments.shard.unwrap_or(Shard::ALL)),
        pieces => AnswerWork::Merge(pieces.into()),
    };
    let found = teacher_answers(&recipe, &options, &work, &device, &mut watch)?;
    drop(watch);
    super::print(format_args!(
        "{}: {} answers, {} of them new; {}",
        found.file.display(),
        count(found.answers as u64),
        count(found.new as u64),
        bytes(found.bytes)
    ))
}
