//! `kd bench`.

pub mod deploy;
mod epoch;
mod loader;
mod losses;
mod step;
mod timing;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::{Map, Value};

pub use step::{network, random_batch};

use super::DeviceArgument;
use crate::{device::Selection, files};

/// Measure a part of the toolkit on this machine
#[derive(Subcommand)]
pub enum Bench {
    Loader(loader::Arguments),
    Step(step::Arguments),
    Epoch(epoch::Arguments),
    Losses(losses::Arguments),
    Deploy(deploy::Arguments),
}

impl Bench {
    /// Threads that compute on the CPU, when an argument says so.
    pub fn threads(&self) -> Option<usize> {
        match self {
            Self::Step(arguments) => Some(arguments.timing.threads.into()),
            Self::Losses(arguments) => Some(arguments.timing.threads.into()),
            Self::Loader(_) | Self::Epoch(_) | Self::Deploy(_) => None,
        }
    }
}

/// Runs the command.
pub fn run(bench: &Bench) -> Result<()> {
    let json = match bench {
        Bench::Step(arguments) => &arguments.timing.json,
        Bench::Losses(arguments) => &arguments.timing.json,
        Bench::Epoch(arguments) => &arguments.json,
        Bench::Deploy(arguments) => &arguments.json,
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
        Bench::Deploy(arguments) => deploy::run(arguments),
    }
}

/// The burn that the workspace pins; burn itself has no constant for it.
const BURN: &str = "0.22.1";

/// How something is timed, and where the times go.
#[derive(Args)]
struct Timing {
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Times to do each, after one that is not counted.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Write the measurements to a file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Threads that compute on the CPU.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    #[command(flatten)]
    device: DeviceArgument,
}

impl Timing {
    /// Writes measurements to the file that was asked for, with what they depend on.
    fn write<const N: usize>(
        &self,
        selection: &Selection,
        measured: [(&str, Value); N],
    ) -> Result<()> {
        let Some(path) = &self.json else {
            return Ok(());
        };
        let circumstances = [
            ("burn", BURN.into()),
            ("kd", env!("CARGO_PKG_VERSION").into()),
            ("backend", selection.to_string().into()),
            ("threads", self.threads.into()),
            ("batch", self.batch.into()),
        ];
        let all = circumstances.into_iter().chain(measured);
        let all: Map<_, _> = all.map(|(key, value)| (key.to_owned(), value)).collect();
        write_json(path, &all.into())
    }
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
