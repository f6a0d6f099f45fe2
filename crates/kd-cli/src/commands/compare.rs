//! `kd compare`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_train::study::of_runs;

use crate::files;

/// Compare the students of runs: scores, and differences of equal seeds with what they show
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd compare runs/kd runs/dkd runs/kd-rkd
  kd compare runs/kd runs/dkd --html runs/compared.html     the same as a page, with links to reports beside it

The first run is what the others are compared with. `kd study` trains variants that are to be compared.")]
pub struct Arguments {
    /// Folders of finished runs on the same data.
    #[arg(value_name = "RUN", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// Write a page, too.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(file) = &arguments.html {
        files::check_place(file)?;
    }
    let results = of_runs(&arguments.runs)?;
    super::print(results.to_markdown().trim_end())?;
    if let Some(file) = &arguments.html {
        files::write(file, &results.to_html()?)?;
        super::print(file.display())?;
    }
    Ok(())
}
