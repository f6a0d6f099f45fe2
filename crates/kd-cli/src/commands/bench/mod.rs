//! `kd bench`.

mod epoch;
mod loader;
mod losses;
mod step;
mod timing;

use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::Value;

pub use step::{network, random_batch};

use crate::files;

/// Measure a part of the toolkit on this machine
#[derive(Subcommand)]
pub enum Bench {
    Loader(loader::Arguments),
    Step(step::Arguments),
    Epoch(epoch::Arguments),
    Losses(losses::Arguments),
}

impl Bench {
    /// Threads that compute on the CPU, when an argument says so.
    pub fn threads(&self) -> Option<usize> {
        let threads = match self {
            Self::Step(arguments) => &arguments.threads,
            Self::Losses(arguments) => &arguments.threads,
            Self::Loader(_) | Self::Epoch(_) => return None,
        };
        Some(usize::from(threads.threads))
    }
}

/// Runs the command.
pub fn run(bench: &Bench) -> Result<()> {
    let json = match bench {
        Bench::Step(arguments) => &arguments.json,
        Bench::Losses(arguments) => &arguments.json,
        Bench::Epoch(arguments) => &arguments.json,
        Bench::Loader(_) => &None,
    };
    if let Some(path) = json {
        files::check_place(path)?;
    }
    match bench {
        Bench::Loader(arguments) => loader::run(arguments),
        Bench::Step(arguments) => step::run(arguments),
        Bench::Epoch(arguments) => epoch::run(arguments),
        Bench::Losses(arguments) => losses::run(arguments),
    }
}

/// The burn that the workspace pins; burn itself has no constant for it.
const BURN: &str = "0.22.1";

/// How many threads compute on the CPU.
#[derive(Args)]
struct Threads {
    /// Threads that compute on the CPU.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
}

/// Writes a measurement to a file.
fn write_json(path: &Path, value: &Value) -> Result<()> {
    files::write(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

#[cfg(test)]
mod tests {
    use super::BURN;

    #[test]
    fn the_burn_that_is_named_is_the_one_that_is_pinned() {
        let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
        let workspace = std::fs::read_to_string(workspace).unwrap();
        let pin = format!("burn = {{ version = \"={BURN}\"");
        assert!(workspace.contains(&pin), "{pin}");
    }
}
