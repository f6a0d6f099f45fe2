//! `kd diagnose`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::DeviceArgument;
use crate::{files, interrupt::Interrupt, progress::Watch};

/// Say where and why the student of a run falls short of its teacher, and what to do
#[derive(Args)]
#[command(after_help = "\
Teacher and student answer the validation images and some training images once more. Looked at are the gap
by class, inherited mistakes, fidelity, capacity, calibration, the temperature, the teacher's normalisation,
feature maps, gradients of the loss, and labels that the teacher disputes. Each finding has a number, a
threshold, and a sentence that says what to do. The test split is not read.

Examples:
  kd diagnose runs/quickstart
  kd diagnose runs/quickstart --html diagnosis.html       with plots
  kd diagnose runs/quickstart --json                      for programs

The run folder gets diagnosis.json, and its report.html shows it from then on.")]
pub struct Arguments {
    /// Folder of a finished run of images with a teacher.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    /// Write a page with plots, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.html {
        files::check_place(file)?;
    }
    let device = arguments.device.selection()?.open()?;
    // Nothing is half written when Ctrl-C ends this, so there is nothing to wait for.
    let mut watch = Watch::new(arguments.quiet, Interrupt::default());
    let found = kd_train::diagnose(&arguments.folder, &device, &mut watch)?;
    kd_train::report::write(&arguments.folder)?;
    drop(watch);
    if let Some(file) = &arguments.html {
        let name = arguments.folder.file_name().unwrap_or_default();
        files::write(file, &found.to_html(&name.to_string_lossy())?)?;
    }
    match arguments.json {
        true => super::print(serde_json::to_string_pretty(&found)?),
        false => super::print(found.to_text()),
    }
}
