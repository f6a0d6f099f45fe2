//! `kd eval`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use kd_data::{DataConfig, Normalize};
use kd_train::{EvalOptions, evaluate};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Measure trained weights on the test split of a data set
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd eval --model resnet8 --weights runs/quickstart/student.safetensors --data fashion_mnist_small
  kd eval --model resnet20_a --weights cifar10_resnet20.th --data cifar10 --data-dir ~/data \\
          --normalize imagenet")]
pub struct Arguments {
    /// Name of the network (`kd models` lists them).
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Its weights: .safetensors, .pth, .pt or .th.
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Name of the data set.
    #[arg(long, value_name = "NAME", default_value = "fashion_mnist_small")]
    data: String,
    /// Folder of the data set [default: the environment's KD_DATA, or data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width that the images of an image folder are resized to.
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Mean and standard deviation that the network was trained with.
    #[arg(long, value_enum, default_value = "dataset")]
    normalize: Statistics,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

/// Whose mean and standard deviation.
#[derive(Clone, Copy, ValueEnum)]
enum Statistics {
    /// The data set's own.
    Dataset,
    /// ImageNet's.
    Imagenet,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let device = arguments.device.selection()?.open()?;
    let options = EvalOptions {
        model: arguments.model.clone(),
        weights: arguments.weights.clone(),
        data: DataConfig {
            name: arguments.data.clone(),
            dir: arguments.data_dir.clone(),
            size: arguments.size,
            normalize: match arguments.normalize {
                Statistics::Dataset => Normalize::Dataset,
                Statistics::Imagenet => Normalize::Imagenet,
            },
            ..DataConfig::default()
        },
        batch: arguments.batch as usize,
    };
    // Nothing is half written when Ctrl-C ends this, so there is nothing to wait for.
    let mut watch = Watch::new(arguments.quiet, Interrupt::default());
    let evaluated = evaluate(&options, &device, &mut watch)?;
    drop(watch);
    let scores = evaluated.scores.list.iter();
    let scores: String = scores
        .map(|score| format!("  {:13}  {}\n", score.title, score.show(score.value)))
        .collect();
    super::print(format_args!(
        "{} on {} test images of {}\n{scores}  {:13}  sha256 {}",
        arguments.model, evaluated.images, arguments.data, "data", evaluated.data_sha256
    ))
}
