//! `cargo xtask vit-cnn`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use clap::Args;

use crate::{
    RunArguments,
    kd::{self, Kd},
};

/// Where the small job looks for a pre-trained vision transformer in the folder of the data.
const WEIGHTS: &str = "weights/dinov2_vits14_imgfocus_f16.safetensors";
/// The name of the teacher's file in the folder of results.
const TEACHER: &str = "teacher/teacher.safetensors";

/// Options of the job.
#[derive(Args)]
pub struct Arguments {
    /// A ResNet-20 and a part of CIFAR-100, for a CPU, instead of ResNet-18 and 240 epochs.
    #[arg(long)]
    small: bool,
    /// A trial of minutes: 500 images and one epoch. It says nothing about the methods.
    #[arg(long, requires = "small")]
    quick: bool,
    /// Folder with the CIFAR-100 archive or its files, and perhaps weights/ [default: the environment's KD_DATA, or
    /// data/, where the images are downloaded to].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The vision transformer without its classifier: a file, a folder, or hf://organisation/name [default: DINOv2's file
    /// in weights/ of the data folder if it is there; else a small transformer is trained, which is a weak teacher].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    #[command(flatten)]
    run: RunArguments,
}

/// Runs the job: the teacher's classifier, the study, and the page that explains it.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    kd::in_turn(&calls(arguments)?)
}

/// The calls of `kd`, one after the other.
fn calls(arguments: &Arguments) -> Result<Vec<Kd>> {
    let (recipe, study) = match arguments.small {
        true => (
            "recipes/vit_cnn/small.toml",
            "recipes/studies/vit-cnn-small.toml",
        ),
        false => ("recipes/vit_cnn/full.toml", "recipes/studies/vit-cnn.toml"),
    };
    let name = Path::new(study).file_stem().unwrap_or_default();
    let out = kd::results(arguments.run.out.as_deref(), &name.to_string_lossy())?;
    let mut calls = Vec::new();
    let teacher = out.join(TEACHER);
    let weights = weights(arguments);
    if let Some(weights) = &weights {
        let mut probe = Kd::new(arguments.run.backend.clone())?;
        probe.arguments(["probe", recipe, "--device", &arguments.run.backend.device()]);
        probe.argument("--out").path(&teacher)?;
        probe.set_path("teacher.weights", weights)?;
        settings(&mut probe, arguments)?;
        calls.push(probe);
    }
    let mut compare = arguments.run.start("study", study)?;
    if arguments.run.out.is_none() {
        compare.argument("--out").path(&out)?;
    }
    match &weights {
        Some(_) => {
            compare.set_path("teacher.weights", &teacher)?;
        }
        None => without_weights(&mut compare),
    }
    settings(&mut compare, arguments)?;
    calls.push(compare);
    let mut explain = Kd::new(arguments.run.backend.clone())?;
    explain.argument("explain").path(&out)?;
    explain.arguments(["--device", &arguments.run.backend.device()]);
    calls.push(explain);
    Ok(calls)
}

/// What the user says of data and budget.
fn settings(kd: &mut Kd, arguments: &Arguments) -> Result<()> {
    if let Some(folder) = &arguments.data {
        kd.set_path("data.dir", folder)?;
    }
    if arguments.quick {
        for (key, value) in [
            ("data.train_limit", 500),
            ("data.test_limit", 200),
            ("train.epochs", 1),
        ] {
            kd.set(key, value);
        }
    }
    kd.overrides(&arguments.run.overrides);
    Ok(())
}

/// The pre-trained weights: those that are named, else those in the folder of the data; none where there are none, and
/// the full job fetches those of its recipe.
fn weights(arguments: &Arguments) -> Option<PathBuf> {
    if let Some(given) = &arguments.weights {
        return Some(given.clone());
    }
    if !arguments.small {
        return Some("hf://timm/deit_small_patch16_224.fb_in1k".into());
    }
    let folder = arguments.data.clone();
    let folder = folder.or_else(|| std::env::var_os("KD_DATA").map(PathBuf::from));
    let file = folder.unwrap_or_else(|| "data".into()).join(WEIGHTS);
    file.exists().then_some(file)
}

/// A transformer that is trained here: on so few images it stays weak, and the page says so.
fn without_weights(kd: &mut Kd) {
    eprintln!(
        "no {WEIGHTS} in the folder of the data: a small vision transformer is trained as the teacher. It will be weak, \
         because a transformer needs far more images and epochs; --weights names better ones"
    );
    for (key, value) in [
        ("teacher.model", "vit_p8_d6_w192_mlp4"),
        ("teacher.weights", ""),
        ("teacher.normalize", ""),
        ("teacher.size", ""),
        ("teacher.cache.maps", "[6]"),
        (
            "teacher.train",
            "{ epochs = 20, optimizer = { name = \"adamw\", weight_decay = 0.05 }, lr = { peak = 1e-3, shape = { name = \
             \"one_cycle\" } } }",
        ),
    ] {
        kd.set(key, value);
    }
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
        let line = Line::parse_from([&["vit-cnn"], line].concat());
        let calls = calls(&line.arguments).unwrap();
        calls.iter().map(Kd::line).collect()
    }

    #[test]
    fn the_classifier_comes_before_the_study_and_the_page_after_it() {
        let lines = called(&["--small", "--weights", "vit.safetensors", "--out", "here"]);
        let starts = [
            "probe recipes/vit_cnn/small.toml",
            "study recipes/studies/",
            "explain ",
        ];
        assert_eq!(lines.len(), starts.len());
        for (line, start) in lines.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
        let teacher = |line: &str, key: &str| {
            let rest = line.split(key).nth(1).unwrap();
            rest.split_whitespace().next().unwrap().to_owned()
        };
        assert_eq!(
            teacher(&lines[0], "--out "),
            teacher(&lines[1], "teacher.weights=")
        );
    }

    #[test]
    fn without_weights_a_transformer_is_trained() {
        let folder = std::env::temp_dir().join("no weights here");
        let lines = called(&["--small", "--data", &folder.to_string_lossy()]);
        assert_eq!(lines.len(), 2);
        assert!(
            lines[0].contains("teacher.model=vit_p8_d6_w192_mlp4"),
            "{}",
            lines[0]
        );
    }
}
