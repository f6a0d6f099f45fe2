//! `cargo xtask fuzz`: mutated files for every parser.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;

use crate::kd;

/// What the job takes; `kd-fuzz` reads and explains it.
#[derive(Args)]
#[command(disable_help_flag = true)]
pub struct Arguments {
    /// Options such as `--cases 10000` and `--target idx`; `--help` lists them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Builds the fuzzer and hands over to it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let status = kd::cargo()
        .current_dir(kd::repository()?)
        .args(["run", "--quiet", "--package", "kd-fuzz", "--"])
        .args(&arguments.options)
        .status()
        .context("start cargo")?;
    Ok(kd::exit_code(status))
}
