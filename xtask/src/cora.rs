//! `cargo xtask cora`.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use clap::Args;

use crate::kd;

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Folder with cora/cora.content, cora.cites and planetoid_split.json.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// How many times each network is trained, each with its own seed.
    #[arg(long, value_name = "N", default_value_t = 5)]
    seeds: u64,
}

/// Builds and runs the example of `kd-train`.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let folder = std::path::absolute(arguments.data.join("cora")).context("resolve --data")?;
    let status = Command::new(kd::example("cora")?)
        .arg(folder)
        .arg(arguments.seeds.to_string())
        .status()
        .context("start the example")?;
    Ok(kd::exit_code(status))
}
