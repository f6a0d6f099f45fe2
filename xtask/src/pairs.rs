//! `cargo xtask pairs`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::{
    backend::{self, Backend},
    kd::{self, Kd},
};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Backend to build with and to compute on, with an optional device number (`cuda:1`).
    #[arg(long, default_value = "flex", value_parser = backend::parse)]
    backend: Backend,
}

/// Writes docs/src/pairs.md.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let page = kd::repository()?.join("docs/src/pairs.md");
    let mut kd = Kd::new(arguments.backend.clone())?;
    kd.arguments(["pairs", "--device", &arguments.backend.device(), "--write"]);
    kd.path(&page)?.build_and_start()
}
