//! `cargo xtask cifar100`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::Args;

use crate::{RunArguments, kd::Kd};

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
    /// Epochs of every training: the student's, and the teacher's when it has no weights [default: the recipe's].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Train on this many images only, the same share of each class.
    #[arg(long, value_name = "N")]
    train_limit: Option<usize>,
    /// The teacher's network; it is trained first unless --teacher-weights is given.
    #[arg(long, value_name = "NAME")]
    teacher: Option<String>,
    /// The teacher's weights: a file, a folder, or hf://organisation/name.
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
    call(arguments)?.build_and_start()
}

/// The call of `kd` that does it.
fn call(arguments: &Arguments) -> Result<Kd> {
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
        if arguments.study {
            // All variants share the recipe's budget; its teacher has weights, or takes this budget.
            kd.set("train.epochs", epochs);
        } else {
            kd.arguments(["--epochs", &epochs.to_string()]);
        }
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
    Ok(kd)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn called(line: &[&str]) -> String {
        let line = Line::parse_from([&["cifar100"], line].concat());
        call(&line.arguments).unwrap().line()
    }

    #[test]
    fn weights_of_the_hub_are_no_path() {
        let line = called(&["--teacher-weights", "hf://org/name@main/x.pth"]);
        assert!(
            line.contains("teacher.weights=hf://org/name@main/x.pth"),
            "{line}"
        );
    }

    #[test]
    fn epochs_count_for_every_training() {
        let line = called(&["--epochs", "1", "--train-limit", "640"]);
        assert!(line.contains(" --epochs 1"), "{line}");
        assert!(line.contains("--set data.train_limit=640"), "{line}");
        // A study has options of its own.
        let line = called(&["--small", "--study", "--epochs", "1"]);
        assert!(line.contains("--set train.epochs=1"), "{line}");
    }
}
