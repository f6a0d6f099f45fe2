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
    let mut script = arguments.python.script("verify_folders.py")?;
    match &arguments.only {
        Some(name) => script.args(["--only", name]),
        None => script.args(["--write", "docs/src/folders.md"]),
    };
    start(script)
}

/// Prints how far the logits of networks of Keras are from those that they have here; fails when it is too far.
pub fn run_keras(python: &Python) -> Result<ExitCode> {
    start(python.script("verify_keras.py")?)
}

impl Python {
    /// A script of this job, to be started in the repository's root.
    fn script(&self, name: &str) -> Result<Command> {
        let root = kd::repository()?;
        let python = match &self.path {
            Some(python) => std::path::absolute(python)
                .with_context(|| format!("resolve {}", python.display()))?,
            None => environment(&root.join("target/verify-folders"), &PACKAGES)?,
        };
        let mut script = Command::new(python);
        let path = root.join("xtask/python").join(name);
        script.current_dir(&root).arg(path);
        Ok(script)
    }
}

/// Runs a script and hands on its exit code.
pub fn start(mut script: Command) -> Result<ExitCode> {
    let status = script.status();
    let status = status.with_context(|| format!("start {}", script.get_program().display()))?;
    Ok(kd::exit_code(status))
}

/// Python of an environment with the packages.
pub fn environment(folder: &Path, packages: &[&str]) -> Result<PathBuf> {
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
            .args(packages)
            .status()
            .context("start pip")?
            .success();
    if !installed {
        bail!(
            "{} was not set up: remove it and try again, or name a Python that has {} with --python",
            folder.display(),
            packages.join(", ")
        );
    }
    Ok(python)
}
