//! `cargo xtask JOB`: builds `kd` with the wanted backend and starts it. No burn in here, so it
//! compiles in seconds.

mod backend;
mod bench;
mod bert;
mod book;
mod chaos;
mod cifar100;
mod compare;
mod compress;
mod cora;
mod detect;
mod diagnose;
mod folders;
mod fuzz;
mod goldens;
mod improve;
mod kd;
mod outside;
mod pairs;
mod python;
mod verify_export;
mod vit_cnn;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};

use backend::Backend;
use kd::Kd;

/// Jobs of this repository: each builds the `kd` command with the wanted backend and runs it.
#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    max_term_width = 100,
    after_help = "Examples:
  cargo xtask quickstart                     a distillation in a minute, needs no download
  cargo xtask quickstart --seeds 3           the same three times, with mean and standard deviation
  cargo xtask cifar100 --small               CIFAR-100 at a size that a CPU can train
  cargo xtask cifar100 --small --study       the same with and without RKD, over two seeds
  cargo xtask cifar100 --backend cuda        ResNet-152 -> ShuffleNetV2, the literature's settings
  cargo xtask vit-cnn --small                a vision transformer teaches a ResNet: an ablation
  cargo xtask detect --small                 Faster R-CNN teaches SSD to find blood cells
  cargo xtask compress                       distil, prune, quantise, export, and what each step cost
  cargo xtask improve                        what helps a student that does not improve
  cargo xtask methods                        methods side by side on the embedded data
  cargo xtask goldens                        losses and networks beside reference values
  cargo xtask bench step                     images/s of inference, training and distillation steps
  cargo xtask fuzz --cases 10000             mutated files for every parser
  cargo xtask verify-folders --only resnet   exported networks in transformers, timm and torchvision

The exit code is that of `kd` (see `kd --help`)."
)]
struct Cli {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Distil a small student on the embedded data: no download, a minute on two cores.
    Quickstart(Quickstart),
    /// Distil a student on CIFAR-100; without --small, ResNet-152 to ShuffleNetV2 in full.
    Cifar100(cifar100::Arguments),
    /// A vision transformer teaches a ResNet on CIFAR-100: logits, maps and relations compared, with a written report.
    VitCnn(vit_cnn::Arguments),
    /// Faster R-CNN teaches SSD to find objects: on COCO, on blood cells with --small, on drawn shapes with --quick.
    Detect(detect::Arguments),
    /// A fine-tuned MiniLM teaches its half the sentences of SST-2.
    Bert(bert::Arguments),
    /// Distil, prune, distil again, quantise and export on the embedded data, and run the files: two minutes on two cores.
    Compress(compress::Arguments),
    /// Train graph networks on Cora, alone and from a teacher, and print their test accuracy.
    Cora(cora::Arguments),
    /// Compare eleven losses, some also beside KD, on the embedded data: half an hour on two cores.
    Methods(Methods),
    /// Improve a recipe step by step under a budget: check, diagnose, features, weights and temperature, an assistant.
    Improve(improve::Arguments),
    /// Plant troubles in real runs, and count which `kd diagnose` names, and which healthy runs it accuses.
    Diagnose(diagnose::Arguments),
    /// Try every loss on pairs of networks, and write the result into docs/.
    Pairs(pairs::Arguments),
    /// Measure a part of the toolkit.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Compare losses, networks and training with every golden file of a folder: a line a file, with cases met.
    Goldens(goldens::Arguments),
    /// Write the methods catalogue into docs/, and build the book where mdbook is installed.
    Book,
    /// Build and run the README's example in a crate outside this workspace.
    Outside,
    /// Kill runs of eight kinds at random moments; resumed, each must end bit for bit as one that was not killed.
    Chaos(chaos::Arguments),
    /// Give every parser a million mutated files: none may panic, hang or allocate too much.
    Fuzz(fuzz::Arguments),
    /// Export every network and load it in transformers, timm and torchvision; the logits go into docs/.
    VerifyFolders(folders::Arguments),
    /// Save networks of keras.applications in each format, and compare the logits that they have here.
    VerifyKeras(folders::Python),
    /// Export every network of the registry to ONNX, compare it in ONNX Runtime, OpenVINO and rten, and write the table
    /// into docs/.
    VerifyExport(verify_export::Arguments),
    /// Train with all trackers, interrupt and resume, and compare what tensorboard, wandb and mlflow read with the metrics.
    VerifyTrackers(python::Python),
    /// Give the job files of `kd cluster` to their engines: schemas of Kubernetes, a Slurm and a Ray on this machine.
    VerifyCluster(python::Python),
    /// Let workers share an S3 bucket of moto and kill them: no training may be lost, put twice or be another.
    VerifyStore(python::Python),
    /// Give torchvision's detectors with random weights to `kd predict`, and compare what both find in an image.
    VerifyDetectors(python::Python),
    /// Compare how alike sentences are with sentence-transformers.
    VerifySentences(python::Python),
    /// Run every check of .ci/run.
    Ci,
}

#[derive(Args)]
struct Quickstart {
    /// Sentences instead of images: a small BERT teaches a tiny one.
    #[arg(long)]
    text: bool,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Args)]
struct Methods {
    #[command(flatten)]
    run: RunArguments,
}

/// What every training job takes.
#[derive(Args)]
struct RunArguments {
    /// Backend to build with and to compute on, with an optional device number (`cuda:1`).
    #[arg(long, default_value = "flex", value_parser = backend::parse)]
    backend: Backend,
    /// How many times to repeat the training, each with its own seed.
    #[arg(long, value_name = "N")]
    seeds: Option<usize>,
    /// Folder for the results [default: the first free one of runs/NAME, runs/NAME-2, ...; of a study,
    /// runs/NAME, where it goes on after the variants that are finished].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a key of the recipe, such as `--set train.epochs=2`; can be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

impl RunArguments {
    /// The start of `kd train FILE ...` or `kd study FILE ...` with the options that all jobs share.
    fn start(&self, command: &str, file: &str) -> Result<Kd> {
        let mut kd = Kd::new(self.backend.clone())?;
        kd.arguments([command, file, "--device", &self.backend.device()]);
        if let Some(seeds) = self.seeds {
            kd.arguments(["--seeds", &seeds.to_string()]);
        }
        if let Some(out) = &self.out {
            kd.argument("--out").path(out)?;
        }
        Ok(kd)
    }
}

fn main() -> ExitCode {
    match run(Cli::parse().job) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(job: Job) -> Result<ExitCode> {
    match job {
        Job::Quickstart(Quickstart { text, run }) => {
            let recipe = match text {
                true => "recipes/text/quickstart.toml",
                false => "recipes/quickstart.toml",
            };
            let mut kd = run.start("train", recipe)?;
            kd.overrides(&run.overrides);
            kd.build_and_start()
        }
        Job::Cifar100(arguments) => cifar100::run(&arguments),
        Job::VitCnn(arguments) => vit_cnn::run(&arguments),
        Job::Detect(arguments) => detect::run(&arguments),
        Job::Bert(arguments) => bert::run(&arguments),
        Job::Compress(arguments) => compress::run(&arguments),
        Job::Cora(arguments) => cora::run(&arguments),
        Job::Methods(Methods { run }) => {
            let mut kd = run.start("study", "recipes/studies/methods.toml")?;
            kd.overrides(&run.overrides);
            kd.build_and_start()
        }
        Job::Improve(arguments) => improve::run(&arguments),
        Job::Diagnose(arguments) => diagnose::run(&arguments),
        Job::Pairs(arguments) => pairs::run(&arguments),
        Job::Bench(bench) => bench::run(&bench),
        Job::Goldens(arguments) => goldens::run(&arguments),
        Job::Book => book::run(),
        Job::Outside => outside::run(),
        Job::Chaos(arguments) => chaos::run(&arguments),
        Job::Fuzz(arguments) => fuzz::run(&arguments),
        Job::VerifyFolders(arguments) => folders::run(&arguments),
        Job::VerifyKeras(python) => folders::run_keras(&python),
        Job::VerifyExport(arguments) => verify_export::run(&arguments),
        Job::VerifyTrackers(python) => python.start(&python::TRACKERS),
        Job::VerifyCluster(python) => python.start(&python::CLUSTER),
        Job::VerifyStore(python) => python.start(&python::STORE),
        Job::VerifyDetectors(python) => python.start(&python::DETECTORS),
        Job::VerifySentences(python) => python.start(&python::SENTENCES),
        Job::Ci => {
            let script = kd::repository()?.join(".ci/run");
            let status = std::process::Command::new(&script)
                .status()
                .with_context(|| format!("start {}", script.display()))?;
            Ok(kd::exit_code(status))
        }
    }
}
