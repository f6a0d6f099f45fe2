//! `kd devices`.

use anyhow::Result;
use clap::Args;

use crate::{device, table};

/// List the devices that --device can name, and how to build in the others
#[derive(Args)]
pub struct Arguments {}

/// Runs the command.
pub fn run(_: &Arguments) -> Result<()> {
    let rows = device::list()
        .into_iter()
        .map(|d| [d.name, d.about, d.state]);
    let header = ["--device", "what it is", "state"];
    super::print(table::table(header, 0..0, rows))?;
    if let Ok(mode) = kd_kernels::mode() {
        super::print(format!(
            "\nKernels on flex: {mode} (KD_KERNELS=off goes without)"
        ))?;
    }
    Ok(())
}
