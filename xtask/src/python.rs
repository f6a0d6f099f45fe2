//! `cargo xtask verify-trackers` and its like: what `kd` makes, read by the programs it is made for.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use clap::Args;

use crate::{
    backend, folders,
    kd::{self, Kd},
};

/// A script of `xtask/python`, which is given the built `kd`.
pub struct Script {
    /// `verify_NAME.py`.
    name: &'static str,
    packages: &'static [&'static str],
    /// What `kd` is built with beside the backend.
    features: &'static [&'static str],
}

/// What trackers were told.
pub const TRACKERS: Script = Script {
    name: "trackers",
    packages: &["tensorboard", "wandb", "mlflow", "numpy"],
    features: &[],
};

/// Job files of `kd cluster`.
pub const CLUSTER: Script = Script {
    name: "cluster",
    packages: &["kubernetes-validate", "ray[default]"],
    features: &[],
};

/// Workers that share a bucket.
pub const STORE: Script = Script {
    name: "store",
    packages: &["moto[server]", "boto3"],
    features: &["object-stores"],
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
    features: &[],
};

/// The Python of such a job.
#[derive(Args)]
pub struct Python {
    /// Python with the packages [default: an environment in target/, made when it is first needed].
    #[arg(long = "python", value_name = "PATH")]
    path: Option<PathBuf>,
}

impl Python {
    /// Builds `kd` and runs a script; it fails when a program has something else than it was told.
    pub fn start(&self, script: &Script) -> Result<ExitCode> {
        let root = kd::repository()?;
        let Script {
            name,
            packages,
            features,
        } = script;
        let python = match &self.path {
            Some(python) => std::path::absolute(python)
                .with_context(|| format!("resolve {}", python.display()))?,
            None => folders::environment(&root.join(format!("target/verify-{name}")), packages)?,
        };
        let mut kd = Kd::new(backend::parse("flex").map_err(anyhow::Error::msg)?)?;
        kd.features(features);
        let mut command = Command::new(python);
        command
            .current_dir(&root)
            .arg(root.join(format!("xtask/python/verify_{name}.py")))
            .arg(kd.build()?);
        folders::start(command)
    }
}
