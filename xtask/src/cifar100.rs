//! `cargo xtask cifar100`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::RunArguments;

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// A small teacher and student that a CPU can train, instead of the literature's recipe.
    #[arg(long)]
    small: bool,
    /// Compare KD with KD and RKD, over two seeds of 15 epochs, instead of a single run.
    #[arg(long, requires = "small")]
    study: bool,
    /// Folder with the CIFAR-100 archive or its files [default: the environment's KD_DATA, or data/,
    /// where they are downloaded to].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Epochs to train [default: the recipe's].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Train on this many images only, the same share of each class.
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// The teacher's network; it is trained first unless --teacher-weights is given.
    #[arg(long, value_name = "NAME")]
    teacher: Option<String>,
    /// The teacher's weights (.safetensors, .pth, .th).
    #[arg(long, value_name = "FILE")]
    teacher_weights: Option<PathBuf>,
    /// The student's network.
    #[arg(long, value_name = "NAME")]
    student: Option<String>,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let (command, file) = match (arguments.small, arguments.study) {
        (true, true) => ("study", "recipes/studies/cifar100-small.toml"),
        (true, false) => ("train", "recipes/cifar100/small.toml"),
        (false, _) => ("train", "recipes/cifar100/kd-resnet152-shufflenet_v2.toml"),
    };
    let mut kd = arguments.run.start(command, file)?;
    if !arguments.small && arguments.run.backend.on_cpu {
        kd.argument("--announce-estimate");
    }
    if let Some(folder) = &arguments.data {
        kd.set_path("data.dir", folder)?;
    }
    if let Some(epochs) = arguments.epochs {
        kd.set("train.epochs", epochs);
    }
    if let Some(limit) = arguments.train_limit {
        kd.set("data.train_limit", limit);
    }
    match (&arguments.teacher, &arguments.teacher_weights) {
        (teacher, Some(file)) => {
            if let Some(name) = teacher {
                kd.set("teacher.model", name);
            }
            kd.set_path("teacher.weights", file)?;
        }
        // The weights that a recipe names belong to its own teacher: an empty value drops them.
        (Some(name), None) => {
            kd.set("teacher.model", name).set("teacher.weights", "");
        }
        (None, None) => {}
    }
    if let Some(name) = &arguments.student {
        kd.set("student.model", name);
    }
    kd.overrides(&arguments.run.overrides);
    kd.build_and_start()
}
