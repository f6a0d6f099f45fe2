//! `kd export --onnx`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use kd_export::{
    Normalisation, Onnx, Options, Output, export_detections, export_detector, export_network,
    export_text,
};
use kd_models::WeightsHeader;
use kd_train::onnx::metadata;
use kd_train::task::TextStudent;
use kd_train::{Recipe, detector_of_run, finished_detector};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::source::{Arguments as From, Source};
use crate::failure::BadInput;
use crate::files::check_place;

#[derive(Args)]
#[group(skip)]
pub struct Arguments {
    /// ONNX file to write. Its graph is run and compared with the network first.
    #[arg(long, value_name = "FILE", required_unless_present = "format")]
    pub onnx: Option<PathBuf>,
    /// Put the normalisation of images into the file, which then reads pixels from 0 to 1.
    #[arg(long, requires = "onnx")]
    normalise: bool,
    /// Put a softmax at the end, so that the file gives probabilities.
    #[arg(long, requires = "onnx")]
    softmax: bool,
    /// Put non-maximum suppression into a detector's file, which then tells what it finds.
    #[arg(long, requires = "onnx")]
    nms: bool,
    /// Weights and arithmetic in float16; input and output stay float32.
    #[arg(long, requires = "onnx")]
    float16: bool,
    /// Write nothing that this program is known to refuse.
    #[arg(long, value_enum, value_name = "PROGRAM", requires = "onnx")]
    check: Option<Program>,
}

/// Programs with rules of their own.
#[derive(Clone, Copy, ValueEnum)]
enum Program {
    /// TensorRT 10.1.
    Tensorrt,
}

impl Arguments {
    /// Refuses a file that the program would.
    fn accepted(&self, onnx: &Onnx) -> Result<()> {
        match self.check {
            None => Ok(()),
            Some(Program::Tensorrt) => Ok(kd_train::Program::Tensorrt
                .accepts(onnx)
                .map_err(BadInput)?),
        }
    }
}

/// Writes the file.
pub fn run(from: &From, arguments: &Arguments, file: &Path) -> Result<()> {
    check_place(file)?;
    if let Some(folder) = &from.run
        && let Some((recipe, weights)) = detector_of_run(folder, from.weights())?
    {
        return detector(&recipe, &weights, folder, arguments, file);
    }
    if arguments.nms {
        return Err(BadInput(
            "--nms: it is for detectors, and this network has no boxes; leave it out".into(),
        )
        .into());
    }
    if let Some(folder) = &from.run
        && let Some(student) = TextStudent::of_run(folder, &crate::device::preferred()?.open()?)?
    {
        return text(&student, folder, arguments, file);
    }
    let Source { network, header } = from.open()?;
    let config = network.config();
    let size = config.image_size()?;
    let mut metadata = metadata(&config.model, size, &header);
    if let Some(run) = &from.run {
        metadata.push(("recipe_sha256".into(), digest(&run.join("recipe.toml"))?));
    }
    let options = Options {
        name: config.model.clone(),
        normalise: match arguments.normalise {
            true => Some(normalisation(&header)?),
            false => None,
        },
        output: output(arguments),
        float16: arguments.float16,
        metadata,
        ..Options::default()
    };
    let onnx = export_network(&network, size, &options)?;
    arguments.accepted(&onnx)?;
    onnx.save(file)?;
    crate::commands::print(summary(file, &onnx))
}

/// The student of a run that trains a detector: boxes and scores, before any is suppressed or after.
fn detector(
    recipe: &Recipe,
    weights: &Path,
    run: &Path,
    arguments: &Arguments,
    file: &Path,
) -> Result<()> {
    if arguments.normalise || arguments.softmax {
        return Err(BadInput(
            "--normalise, --softmax: a detector's file normalises images and gives probabilities anyway; leave them out"
                .into(),
        )
        .into());
    }
    let device = crate::device::preferred()?.open()?;
    let (network, classes) = finished_detector(recipe, weights, run, &device)?;
    let size = recipe
        .detection
        .as_ref()
        .map_or(0, |detection| detection.size);
    let entry = |key: &str, value: String| (key.to_owned(), value);
    let options = Options {
        name: recipe.student.model.clone(),
        float16: arguments.float16,
        metadata: vec![
            entry("kd_version", env!("CARGO_PKG_VERSION").into()),
            entry("model", recipe.student.model.clone()),
            entry("size", size.to_string()),
            entry("classes", json!(classes).to_string()),
            entry("recipe_sha256", digest(&run.join("recipe.toml"))?),
        ],
        ..Options::default()
    };
    let export = match arguments.nms {
        true => export_detections,
        false => export_detector,
    };
    let onnx = export(&network, size, &options)?;
    arguments.accepted(&onnx)?;
    onnx.save(file)?;
    crate::commands::print(summary(file, &onnx))
}

/// The student of a run that reads text, for sequences of the recipe's length.
fn text(student: &TextStudent, run: &Path, arguments: &Arguments, file: &Path) -> Result<()> {
    if arguments.normalise || arguments.float16 {
        return Err(BadInput(
            "--normalise, --float16: a file that reads text has neither; leave them out".into(),
        )
        .into());
    }
    let entry = |key: &str, value: String| (key.to_owned(), value);
    let options = Options {
        name: student.model.clone(),
        output: output(arguments),
        metadata: vec![
            entry("kd_version", env!("CARGO_PKG_VERSION").into()),
            entry("model", student.model.clone()),
            entry("tokens", student.length.to_string()),
            entry("classes", json!(student.classes).to_string()),
            entry("recipe_sha256", digest(&run.join("recipe.toml"))?),
        ],
        ..Options::default()
    };
    let onnx = export_text(&student.network, student.length, &options)?;
    arguments.accepted(&onnx)?;
    onnx.save(file)?;
    crate::commands::print(summary(file, &onnx))
}

fn output(arguments: &Arguments) -> Output {
    match arguments.softmax {
        true => Output::Probabilities,
        false => Output::Logits,
    }
}

fn normalisation(header: &WeightsHeader) -> Result<Normalisation> {
    match (&header.mean, &header.std) {
        (Some(mean), Some(std)) => Ok(Normalisation {
            mean: mean.clone(),
            std: std.clone(),
        }),
        _ => Err(BadInput(
            "--normalise: the weights do not say with which mean and deviation images were normalised: give --mean \
             and --std"
                .into(),
        )
        .into()),
    }
}

fn digest(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(format!("{:x}", Sha256::digest(bytes)))
}

fn summary(file: &Path, onnx: &Onnx) -> String {
    let operations = onnx.operations().into_iter();
    let operations: Vec<String> = operations
        .map(|(op, count)| format!("{count} {op}"))
        .collect();
    format!(
        "{}\n  {} weights, {}\n  largest difference from the network {:.1e}",
        file.display(),
        onnx.weights(),
        operations.join(", "),
        onnx.difference()
    )
}
