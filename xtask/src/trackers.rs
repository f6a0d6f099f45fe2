//! `cargo xtask verify-trackers`: what trackers were told, read by their own programs.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    backend, folders,
    kd::{self, Kd},
};

const PACKAGES: [&str; 4] = ["tensorboard", "wandb", "mlflow", "numpy"];

/// Options of `verify-trackers`.
#[derive(Args)]
pub struct Arguments {
    /// Python with tensorboard, wandb and mlflow [default: an environment in target/, made when it is first needed].
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
}

/// Fails when a tracker has another value than `metrics.jsonl`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = kd::repository()?;
    let python = match &arguments.python {
        Some(python) => {
            std::path::absolute(python).with_context(|| format!("resolve {}", python.display()))?
        }
        None => folders::environment(&root.join("target/verify-trackers"), &PACKAGES)?,
    };
    let mut script = Command::new(python);
    script
        .current_dir(&root)
        .arg(root.join("xtask/python/verify_trackers.py"))
        .arg(Kd::new(backend::parse("flex").map_err(anyhow::Error::msg)?)?.build()?);
    folders::start(script)
}
