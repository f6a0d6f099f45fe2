//! `cargo xtask compress`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;

use crate::{
    RunArguments,
    kd::{self, Kd},
};

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// CIFAR-100 instead of the embedded data.
    #[arg(long, conflicts_with = "study")]
    cifar100: bool,
    /// Compare what is done after pruning, over three seeds, instead of a single run.
    #[arg(long)]
    study: bool,
    /// Folder with the CIFAR-100 archive or its files [default: the environment's KD_DATA, or data/, where they are
    /// downloaded to].
    #[arg(long, value_name = "DIR", requires = "cifar100")]
    data: Option<PathBuf>,
    /// Python with the packages onnxruntime and openvino, which run the files beside rten [default: python3, if there is
    /// one].
    #[arg(long, value_name = "PATH", conflicts_with = "study")]
    python: Option<PathBuf>,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job: teacher to 8-bit student, and then the files in runtimes.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    kd::in_turn(&calls(arguments)?)
}

/// The calls of `kd`, one after the other.
fn calls(arguments: &Arguments) -> Result<Vec<Kd>> {
    if arguments.study {
        let mut kd = arguments
            .run
            .start("study", "recipes/studies/compression.toml")?;
        kd.overrides(&arguments.run.overrides);
        return Ok(vec![kd]);
    }
    let (recipe, name) = match arguments.cifar100 {
        true => (
            "recipes/compression/cifar100_small.toml",
            "compression-cifar100-small",
        ),
        false => (
            "recipes/compression/resnet8_int8.toml",
            "compression-resnet8-int8",
        ),
    };
    let out = kd::results(arguments.run.out.as_deref(), name)?;
    let mut train = arguments.run.start("train", recipe)?;
    if arguments.run.out.is_none() {
        train.argument("--out").path(&out)?;
    }
    if let Some(folder) = &arguments.data {
        train.set_path("data.dir", folder)?;
    }
    train.overrides(&arguments.run.overrides);
    let mut deploy = Kd::new(arguments.run.backend.clone())?;
    deploy.arguments(["bench", "deploy", "--run"]).path(&out)?;
    if let Some(python) = &arguments.python {
        ensure!(
            python.exists(),
            "--python {}: there is no such file; name an interpreter",
            python.display()
        );
        deploy.argument("--python").path(python)?;
    }
    let mut eval = Kd::new(arguments.run.backend.clone())?;
    eval.argument("eval").path(&out)?;
    eval.argument("--onnx").path(&out.join("integers.onnx"))?;
    if let Some(python) = &arguments.python {
        eval.argument("--python").path(python)?;
    }
    Ok(vec![train, eval, deploy])
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

    fn called(line: &[&str]) -> Vec<String> {
        let line = Line::parse_from([&["compress"], line].concat());
        let calls = calls(&line.arguments).unwrap();
        calls.iter().map(Kd::line).collect()
    }

    #[test]
    fn files_are_measured_after_the_run_that_wrote_them() {
        for (line, recipe) in [
            (&["--out", "/here"][..], "resnet8_int8.toml"),
            (
                &["--cifar100", "--data", "/d", "--out", "/here"],
                "cifar100_small.toml",
            ),
        ] {
            let lines = called(line);
            assert_eq!(lines.len(), 3);
            assert!(lines[0].starts_with("train recipes/compression/"));
            assert!(lines[0].contains(recipe) && lines[0].contains("--out /here"));
            assert!(lines[1].starts_with("eval /here --onnx /here/integers.onnx"));
            assert!(lines[2].starts_with("bench deploy --run /here"));
        }
        assert!(called(&["--cifar100", "--data", "/d"])[0].contains("data.dir=/d"));
        let study = called(&["--study", "--seeds", "2"]);
        assert_eq!(study.len(), 1);
        assert!(study[0].starts_with("study recipes/studies/compression.toml"));
    }
}
