//! `kd explain`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Write a report of a study: what its students learned of their teacher
#[derive(Args)]
#[command(after_help = "\
Every network of the study is run on the same test images. The report tells what each family of losses
gains and costs, what one more term changes, how alike student and teacher see the images before and
after, where the best student fails, and what may be concluded.

Example:
  kd explain runs/vit-cnn-small

The folder gets report.html, report.md and explained.json.")]
pub struct Arguments {
    /// Folder that `kd study` wrote.
    #[arg(value_name = "STUDY")]
    folder: PathBuf,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.selection()?.open()?;
    // Nothing is half written when Ctrl-C ends this, so there is nothing to wait for.
    let mut watch = Watch::new(arguments.quiet, Interrupt::default());
    let page = kd_train::explain(&arguments.folder, &device, &mut watch)?;
    drop(watch);
    super::print(page.display())
}
