//! `kd report`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// Write report.html of a run folder, finished or not
#[derive(Args)]
#[command(after_help = "Example:\n  kd report runs/quickstart")]
pub struct Arguments {
    /// Folder that `kd train` wrote.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let report = kd_train::report::write(&arguments.folder)?;
    if !arguments.folder.join("summary.json").exists() {
        eprintln!(
            "this run is not finished: there is no summary.json, so the report shows its metrics so far"
        );
    }
    super::print(report.display())
}
