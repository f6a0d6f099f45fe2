//! `cargo xtask detect`.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail};
use clap::Args;

use crate::{RunArguments, kd::Kd};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// Blood cells (BCCD, 364 photographs) and networks that a CPU can train, instead of COCO.
    #[arg(long, conflicts_with = "quick")]
    small: bool,
    /// A trial of minutes on drawn shapes: nothing is downloaded. It says nothing about the methods.
    #[arg(long)]
    quick: bool,
    /// With --small: every way to teach, a training after the other, instead of the recipe's alone.
    #[arg(long, requires = "small")]
    study: bool,
    /// Folder of the data: BCCD's with coco/ and JPEGImages/, or COCO's with annotations/, train2017/ and val2017/.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Epochs of the student [default: the recipe's].
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// The teacher's weights, such as torchvision's file; without them it is trained first.
    #[arg(long, value_name = "FILE")]
    teacher_weights: Option<PathBuf>,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    call(arguments)?.build_and_start()
}

/// The call of `kd` that does it.
fn call(arguments: &Arguments) -> Result<Kd> {
    let (command, file) = match (arguments.quick, arguments.small, arguments.study) {
        (true, ..) => ("train", "recipes/detection/quick.toml"),
        (_, true, true) => ("study", "recipes/studies/detection-bccd.toml"),
        (_, true, false) => ("train", "recipes/detection/bccd.toml"),
        _ => ("train", "recipes/detection/coco.toml"),
    };
    let mut kd = arguments.run.start(command, file)?;
    match &arguments.data {
        Some(_) if arguments.quick => bail!("--data: --quick draws its images; leave it out"),
        Some(folder) => {
            kd.set_path("detection.dir", folder)?;
        }
        None => {}
    }
    if let Some(epochs) = arguments.epochs {
        kd.set("train.epochs", epochs);
    }
    if let Some(weights) = &arguments.teacher_weights {
        kd.set_path("teacher.weights", weights)?;
        if !arguments.small && !arguments.quick {
            // As torchvision builds the network of its file.
            kd.set("teacher.model", "fasterrcnn_resnet50_fpn_coco");
        }
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

    fn line(arguments: &[&str]) -> String {
        let parsed = Line::parse_from([&["detect"], arguments].concat());
        call(&parsed.arguments).unwrap().line()
    }

    #[test]
    fn every_size_has_its_recipe() {
        let starts = |arguments: &[&str], start: &str| {
            let line = line(arguments);
            assert!(line.starts_with(start), "{line}");
        };
        starts(
            &["--quick"],
            "train recipes/detection/quick.toml --device flex",
        );
        starts(&["--small"], "train recipes/detection/bccd.toml");
        starts(
            &["--small", "--study"],
            "study recipes/studies/detection-bccd.toml",
        );
        starts(&[], "train recipes/detection/coco.toml");
        let set = line(&["--small", "--data", "/cells", "--epochs", "9"]);
        assert!(
            set.contains("--set detection.dir=/cells --set train.epochs=9"),
            "{set}"
        );
        let set = line(&["--teacher-weights", "/fasterrcnn.pth"]);
        assert!(
            set.contains("--set teacher.model=fasterrcnn_resnet50_fpn_coco"),
            "{set}"
        );
    }
}
