//! `kd probe`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_train::{ProbeOptions, Recipe, probe};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Train a linear classifier on a recipe's frozen teacher, and write the whole network
#[derive(Args)]
#[command(after_help = "\
Weights without a classifier, such as DINOv2's, or with one for other classes become a teacher of the
recipe's data: the network reads the training split once, and a linear layer learns from its embeddings.

Example:
  kd probe recipes/vit_cnn/small.toml --set teacher.weights=dinov2_vits14.safetensors \\
           --out teachers/dinov2-cifar100.safetensors
  kd train recipes/vit_cnn/small.toml --set teacher.weights=teachers/dinov2-cifar100.safetensors")]
pub struct Arguments {
    /// The recipe, a TOML file, with teacher.weights.
    recipe: PathBuf,
    /// Override a key of the recipe; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// The file to write; beside it a .json says what the classifier has.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Passes over the embeddings.
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    epochs: u32,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.selection()?.open()?;
    let mut watch = Watch::new(arguments.quiet, Interrupt::listen()?);
    let recipe = Recipe::load(&arguments.recipe, &arguments.overrides)?.complete(&mut watch)?;
    let options = ProbeOptions {
        epochs: arguments.epochs as usize,
        ..ProbeOptions::default()
    };
    let found = probe(&recipe, &options, &arguments.out, &device, &mut watch)?;
    drop(watch);
    let [train, validation] = found.images;
    super::print(format_args!(
        "{} with a linear classifier (weight decay {})\n  {:.2} % of the {train} training images\n  {:.2} % of the \
         {validation} validation images\n  {}",
        found.model,
        found.decay,
        found.train,
        found.validation,
        arguments.out.display()
    ))
}
