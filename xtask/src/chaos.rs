//! `cargo xtask chaos`: runs that are killed at random moments, and must end as if nothing had happened.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::kd;

#[derive(Args)]
pub struct Arguments {
    /// How many runs to kill, the kinds in turn.
    #[arg(long, value_name = "N", default_value_t = 200)]
    runs: u64,
    /// Seed of the moments at which they are killed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

/// Builds `kd` and starts the test that kills it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let status = kd::cargo()
        .args(["test", "--package", "kd-cli", "--test", "chaos", "--"])
        .args(["--ignored", "--nocapture"])
        .env("KD_CHAOS_RUNS", arguments.runs.to_string())
        .env("KD_CHAOS_SEED", arguments.seed.to_string())
        .current_dir(kd::repository()?)
        .status()
        .context("start cargo")?;
    Ok(kd::exit_code(status))
}
