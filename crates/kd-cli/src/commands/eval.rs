//! `kd eval`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use burn::tensor::Device;
use clap::{Args, ValueEnum};
use kd_data::{DataConfig, Normalize};
use kd_models::WeightsHeader;
use kd_train::{
    EvalOptions, EvalResult, Event, Observer, Recipe, detector_of_run, evaluate, evaluate_detector,
    fetch_weights,
};

use super::DeviceArgument;
use crate::failure::BadInput;
use crate::{interrupt::Interrupt, progress::Watch};

/// Measure trained weights on the test split of a data set
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd eval runs/quickstart                          the student of a run, on the data of its recipe
  kd eval runs/quickstart --weights runs/quickstart/checkpoints/distilled-seed2.safetensors
  kd eval runs/quickstart --onnx student.onnx      the same of a file, in the programs that run it
  kd eval runs/quickstart --weights int8.safetensors --int8
                                                   a network on grids, with 8-bit integers
  kd eval --model resnet8 --weights runs/quickstart/student.safetensors --data fashion_mnist_small
  kd eval --model resnet20_a --weights cifar10_resnet20.th --data cifar10 --data-dir ~/data \\
          --normalize imagenet
  kd eval --weights hf://timm/resnet18.a1_in1k --data folder --data-dir ~/imagenet

A run's recipe says network, data, size and normalisation; an option says otherwise.")]
pub struct Arguments {
    /// Folder of a run, whose student is measured.
    #[arg(value_name = "RUN", required_unless_present = "weights")]
    run: Option<PathBuf>,
    /// Name of the network (`kd models` lists them) [default: the run's student, else as the weights say].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Its weights: a file, a folder of the Hugging Face hub or of timm, or hf://organisation/name [default: the
    /// run's student].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Measure this ONNX file, which `kd export` or a stage of the run wrote, in rten, ONNX Runtime and OpenVINO, as far
    /// as they are there.
    #[arg(long, value_name = "FILE", requires = "run")]
    onnx: Option<PathBuf>,
    /// Python with the packages onnxruntime and openvino [default: python3, if there is one].
    #[arg(long, value_name = "PATH", requires = "onnx")]
    python: Option<PathBuf>,
    /// Compute with 8-bit integers; the network has to be on integer grids.
    #[cfg(feature = "flex")]
    #[arg(long, conflicts_with_all = ["onnx", "model"])]
    int8: bool,
    /// Name of the data set [default: the run's, else fashion_mnist_small].
    #[arg(long, value_name = "NAME")]
    data: Option<String>,
    /// Folder of the data set [default: the run's, else the environment's KD_DATA, or data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Height and width of what the network sees of the images of an image folder [default: the run's, else as the
    /// weights say].
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Length of their short side before the centre is cut out; without it images are stretched [default: the
    /// run's, else as the weights say].
    #[arg(long, value_name = "PIXELS")]
    resize: Option<usize>,
    /// Mean and standard deviation that the network was trained with [default: the run's, else as the weights say,
    /// else the data set's].
    #[arg(long, value_enum)]
    normalize: Option<Statistics>,
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
    // Nothing is half written when Ctrl-C ends this, so there is nothing to wait for.
    let mut watch = Watch::new(arguments.quiet, Interrupt::default());
    if let Some(folder) = &arguments.run
        && let Some((recipe, weights)) = detector_of_run(folder, arguments.weights.as_deref())?
    {
        return detector(recipe, &weights, arguments, &device, watch);
    }
    let mut options = options(arguments)?;
    options.weights = fetch_weights(&options.weights, &mut watch)?;
    if arguments.run.is_none() {
        describe(&mut options, arguments, &mut watch)?;
    }
    if let Some(file) = &arguments.onnx {
        let python = arguments.python.as_deref();
        let found = super::eval_onnx::run(&options, file, python, &mut watch)?;
        drop(watch);
        for (runtime, evaluated) in &found {
            let what = format!("{} in {runtime}", file.display());
            tell(&what, &options.data.name, evaluated)?;
        }
        return Ok(());
    }
    #[cfg(feature = "flex")]
    if arguments.int8 {
        let evaluated = super::eval_int8::run(&options, &device, &mut watch)?;
        drop(watch);
        let what = format!("{} in 8-bit integers", options.model);
        return tell(&what, &options.data.name, &evaluated);
    }
    let evaluated = evaluate(&options, &device, &mut watch)?;
    drop(watch);
    tell(&options.model, &options.data.name, &evaluated)
}

/// The student of a run that trains a detector.
fn detector(
    mut recipe: Recipe,
    weights: &Path,
    arguments: &Arguments,
    device: &Device,
    mut watch: Watch,
) -> Result<()> {
    let given = [
        ("--model", arguments.model.is_some()),
        ("--data", arguments.data.is_some()),
        ("--size", arguments.size.is_some()),
        ("--resize", arguments.resize.is_some()),
        ("--normalize", arguments.normalize.is_some()),
    ];
    if let Some((option, _)) = given.into_iter().find(|(_, given)| *given) {
        return Err(BadInput(format!(
            "{option}: a detector is measured as its recipe says; leave the option out"
        ))
        .into());
    }
    if let (Some(folder), Some(detection)) = (&arguments.data_dir, &mut recipe.detection) {
        detection.dir = Some(folder.clone());
    }
    let evaluated = evaluate_detector(&recipe, weights, device, &mut watch)?;
    drop(watch);
    let name = recipe.detection.map_or(String::new(), |data| data.name);
    tell(&recipe.student.model, &name, &evaluated)
}

fn tell(model: &str, data: &str, evaluated: &EvalResult) -> Result<()> {
    let scores = evaluated.scores.list.iter();
    let scores: String = scores
        .map(|score| format!("  {:13}  {}\n", score.title, score.show(score.value)))
        .collect();
    super::print(format_args!(
        "{model} on {} test images of {data}\n{scores}  {:13}  sha256 {}",
        evaluated.images, "data", evaluated.data_sha256
    ))
}

/// What weights say of themselves, where the options do not say otherwise.
fn describe(
    options: &mut EvalOptions,
    arguments: &Arguments,
    observer: &mut dyn Observer,
) -> Result<()> {
    let header = WeightsHeader::read(&options.weights)?;
    if options.model.is_empty() {
        let called = header
            .architecture
            .map_or(String::new(), |name| format!(" (they call it `{name}`)"));
        options.model = header.model.ok_or_else(|| {
            BadInput(format!(
                "{}: these weights do not say which network of `kd models` they are of{called}: give --model",
                options.weights.display()
            ))
        })?;
    }
    let data = &mut options.data;
    let mut told = Vec::new();
    if data.name == "folder" {
        if let (None, Some(size)) = (data.size, header.size) {
            told.push(format!("size {size}"));
            data.size = Some(size);
        }
        if let (None, Some(share)) = (data.resize, header.crop) {
            told.push(format!("crop_pct {share}"));
            data.crop_pct = Some(share);
        }
        if let Some(interpolation) = header.interpolation {
            told.push(format!("interpolation {interpolation}"));
            data.interpolation = Some(interpolation);
        }
    }
    if let (None, Some(mean), Some(std)) = (arguments.normalize, header.mean, header.std) {
        told.push(format!("mean {mean:?}, std {std:?}"));
        data.normalize = Normalize::Given { mean, std };
    }
    if !told.is_empty() {
        let weights = options.weights.display();
        observer.event(Event::Note(&format!("{weights} says: {}", told.join(", "))));
    }
    Ok(())
}

/// What is known of the weights, by the run's folder, and what the options say instead.
fn options(arguments: &Arguments) -> Result<EvalOptions> {
    let weights = arguments.weights.as_deref();
    let mut options = match (&arguments.run, weights) {
        (Some(run), weights) => EvalOptions::of_run(run, weights)?,
        (None, weights) => EvalOptions {
            model: String::new(),
            weights: weights.unwrap_or(Path::new("")).into(),
            data: DataConfig::default(),
            batch: 0,
        },
    };
    options.batch = arguments.batch as usize;
    if let Some(model) = &arguments.model {
        options.model.clone_from(model);
    }
    let data = &mut options.data;
    if let Some(name) = arguments.data.as_ref().filter(|name| **name != data.name) {
        // Other data have nothing of the run's.
        *data = DataConfig {
            name: name.clone(),
            ..DataConfig::default()
        };
    }
    if let Some(folder) = &arguments.data_dir {
        data.dir = Some(folder.clone());
    }
    if let Some(size) = arguments.size {
        data.size = Some(size);
    }
    if let Some(resize) = arguments.resize {
        (data.resize, data.crop_pct) = (Some(resize), None);
    }
    match arguments.normalize {
        None => {}
        Some(Statistics::Dataset) => data.normalize = Normalize::Dataset,
        Some(Statistics::Imagenet) => data.normalize = Normalize::Imagenet,
    }
    Ok(options)
}
