//! `cargo xtask verify-folders` and `verify-keras`: the same networks in programs of Python.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::kd;

/// What the scripts need of Python.
const PACKAGES: [&str; 6] = [
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "safetensors",
    "keras",
];

/// The Python that loads networks.
#[derive(Args)]
pub struct Python {
    /// Python with torch, torchvision, timm, transformers and keras [default: an environment in target/, made when it
    /// is first needed].
    #[arg(long = "python", value_name = "PATH")]
    path: Option<PathBuf>,
}

/// Options of `verify-folders`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    python: Python,
    /// Only networks whose names contain this; the page is then not written.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// Writes the table of docs/src/folders.md; fails when a folder is not loaded, or gives other logits.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let root = kd::repository()?;
    let python = match &arguments.python {
        Some(python) => python.clone(),
        None => environment(&root.join("target/verify-folders"))?,
    };
    let mut script = Command::new(&python);
    script
        .current_dir(&root)
        .arg(root.join("xtask/python/verify_folders.py"));
    match &arguments.only {
        Some(name) => script.args(["--only", name]),
        None => script.arg("--write").arg(root.join("docs/src/folders.md")),
    };
    let status = script
        .status()
        .with_context(|| format!("start {}", python.display()))?;
    Ok(kd::exit_code(status))
}

/// Python of an environment with the packages.
fn environment(folder: &Path) -> Result<PathBuf> {
    let python = folder.join("bin/python");
    if python.exists() {
        return Ok(python);
    }
    let installed = Command::new("python3")
        .args(["-m", "venv"])
        .arg(folder)
        .status()
        .context("start python3")?
        .success()
        && Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES)
            .status()
            .context("start pip")?
            .success();
    if !installed {
        bail!(
            "{} was not set up: remove it and try again, or name a Python that has {} with --python",
            folder.display(),
            PACKAGES.join(", ")
        );
    }
    Ok(python)
}
