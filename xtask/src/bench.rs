//! `cargo xtask bench`.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::{
    backend::{self, Backend},
    compare,
    kd::{self, Kd},
};

/// What can be measured.
#[derive(Subcommand)]
pub enum Bench {
    /// Training images per second that the data loader prepares.
    Loader {
        /// Options for `kd bench loader`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Images per second of single steps: inference, training, distillation.
    Step(OnDevice),
    /// Images per second of whole distillation epochs, beside their parts.
    Epoch(OnDevice),
    /// Time and memory of every distillation loss.
    Losses(OnDevice),
    /// Latency and throughput of networks as they are deployed, here and in other runtimes.
    Deploy(OnDevice),
    /// Compare measurements of `bench step` with PyTorch's of the same steps.
    Compare(compare::Arguments),
}

/// A measurement that computes.
#[derive(Args)]
pub struct OnDevice {
    /// Backend to build with and to compute on, with an optional device number (`cuda:1`); to be
    /// given first.
    #[arg(long, default_value = "flex", value_parser = backend::parse)]
    backend: Backend,
    /// Options for `kd bench`, such as `--only resnet20`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the job.
pub fn run(bench: &Bench) -> Result<ExitCode> {
    match bench {
        Bench::Loader { arguments } => {
            let mut kd = Kd::new(Backend::default())?;
            kd.here()?.arguments(["bench", "loader"]);
            kd.arguments(arguments).build_and_start()
        }
        Bench::Step(options) => options.start("step", &[]),
        Bench::Epoch(options) => options.start("epoch", &["--recipes".into(), recipes()?]),
        Bench::Losses(options) => options.start("losses", &[]),
        Bench::Deploy(options) => options.start("deploy", &[]),
        Bench::Compare(arguments) => compare::run(arguments),
    }
}

impl OnDevice {
    fn start(&self, what: &str, more: &[OsString]) -> Result<ExitCode> {
        let mut kd = Kd::new(self.backend.clone())?;
        kd.here()?
            .arguments(["bench", what, "--device", &self.backend.device()]);
        kd.arguments(more).arguments(&self.arguments);
        kd.build_and_start()
    }
}

/// The repository's recipes, wherever the user is.
fn recipes() -> Result<OsString> {
    Ok(kd::repository()?.join("recipes").into())
}
