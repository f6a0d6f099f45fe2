//! `kd watch`.

use std::io::ErrorKind;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use kd_train::watch::{Pages, Watched};

use crate::failure::BadInput;

/// Follow a run, or the runs of a study, on a page in the browser
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd watch runs/quickstart            then open the address that it prints
  kd watch runs/methods --port 0      the runs of a study, on a port that is free

The page renews itself when metrics.jsonl has grown. Only this machine reaches it; from elsewhere:
ssh -L 8642:127.0.0.1:8642 HOST. Ctrl-C ends it, and leaves the run alone.")]
pub struct Arguments {
    /// Folder that `kd train` or `kd study` writes, or one that holds such folders.
    #[arg(value_name = "RUN")]
    folder: PathBuf,
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8642)]
    port: u16,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let watched = Watched::new(&arguments.folder)?;
    let port = arguments.port;
    let pages = Pages::listen(port).map_err(|error| {
        let problem = match error.kind() {
            ErrorKind::AddrInUse => "is taken".into(),
            _ => format!("cannot be listened on ({error})"),
        };
        BadInput(format!(
            "port {port} of 127.0.0.1 {problem}: give another with --port, or --port 0 for a free one"
        ))
    })?;
    super::print(pages.address())?;
    pages
        .serve(|path| watched.answer(path))
        .context("answer the browser")
}
