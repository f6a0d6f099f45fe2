//! One file a subcommand.

pub mod bench;
pub mod cluster;
pub mod compare;
pub mod convert;
pub mod devices;
pub mod diagnose;
pub mod eval;
#[cfg(feature = "flex")]
mod eval_int8;
mod eval_onnx;
pub mod explain;
pub mod export;
pub mod improve;
pub mod methods;
pub mod metrics;
pub mod models;
pub mod pairs;
pub mod predict;
pub mod probe;
pub mod prune;
pub mod quantise;
pub mod report;
pub mod search;
pub mod study;
pub mod teacher;
pub mod track;
pub mod train;
pub mod watch;

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use kd_core::{TermConfig, nearest_name};
use kd_models::{NetworkConfig, WeightsHeader};

use crate::device::{self, Selection};
use crate::failure::BadInput;

/// The option that every computing command has.
#[derive(Args)]
pub struct DeviceArgument {
    /// Device that computes: flex, cuda, cuda:1, wgpu:0, ... (`kd devices` lists them)
    /// [default: the first that is built in].
    #[arg(long, value_name = "NAME", value_parser = device::parse)]
    device: Option<Selection>,
}

impl DeviceArgument {
    /// The device that was asked for, or the preferred one.
    fn selection(&self) -> Result<Selection> {
        self.device.clone().map_or_else(device::preferred, Ok)
    }
}

/// Names of the losses that contain a text; all for an empty one.
fn losses_with(text: &str) -> Result<Vec<&'static str>> {
    let all = TermConfig::NAMES;
    let names: Vec<_> = all.iter().copied().filter(|n| n.contains(text)).collect();
    if names.is_empty() {
        let meant = nearest_name(text, all.iter().copied());
        let hint = meant.map_or(String::new(), |meant| format!(", did you mean `{meant}`?"));
        let all = all.join(", ");
        return Err(BadInput(format!("no loss contains `{text}`{hint}; there are {all}")).into());
    }
    Ok(names)
}

/// Writes a result to standard output. A reader that has seen enough, such as `head`, is no
/// mistake.
fn print(text: impl std::fmt::Display) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("write the result"),
    }
}

/// The network that a header describes, with what options have put into it; none where it lacks the network or its
/// classes.
fn network_of(header: &WeightsHeader) -> Option<NetworkConfig> {
    let (model, classes) = (header.model.as_ref()?, header.classes?);
    let config = NetworkConfig::new(model, classes, header.channels.unwrap_or(3));
    Some(match header.size {
        Some(size) => config.with_image_size(size),
        None => config,
    })
}

/// What has to be given, since weights do not say it.
fn unsaid(input: &Path, header: &WeightsHeader) -> String {
    let called = header.architecture.iter();
    let called: String = called
        .map(|name| format!(" (they call it `{name}`)"))
        .collect();
    format!(
        "{}: these weights do not say which network of `kd models` they are of{called}, or for how many classes: give \
         --model and --classes",
        input.display()
    )
}
