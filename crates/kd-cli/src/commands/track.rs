//! `kd track`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_train::track::{self, Target};

/// Show a run in TensorBoard, Weights & Biases or MLflow
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd track runs/quickstart --to tensorboard     then: tensorboard --logdir runs
  kd track runs/quickstart --to wandb           then: wandb sync runs/quickstart/track/wandb/offline-run-*
  kd track runs/quickstart --to mlflow=http://127.0.0.1:5000

A run that `kd train --track` told in part is told the rest. Files are in RUN/track.")]
pub struct Arguments {
    /// Folder that `kd train` wrote.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    /// Trackers: tensorboard, wandb, mlflow=URI (or mlflow, with the address in MLFLOW_TRACKING_URI).
    #[arg(long, value_name = "TO,...", value_delimiter = ',', required = true)]
    to: Vec<Target>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    for target in &arguments.to {
        track::replay(&arguments.folder, target)?;
        super::print(format_args!("{target}  told"))?;
    }
    Ok(())
}
