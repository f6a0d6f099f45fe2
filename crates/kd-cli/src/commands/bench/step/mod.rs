//! `kd bench step`.

mod subject;

use std::fmt;

use anyhow::{Result, bail};
use burn::tensor::Device;
use clap::Args;
use kd_core::{ObjectiveConfig, Step, Taps};
use kd_models::detection::{DETECTORS, Detector};
use kd_models::{Network, TextNetwork, text_models};
use kd_train::{Learner, TrainConfig};
use serde_json::{Map, json};

use self::subject::Subject;
pub use self::subject::{network, random_batch};
use super::{
    Timing,
    timing::{self, Seconds},
};
use crate::{commands::print, failure::BadInput};

/// Images, texts or scenes per second of single steps: inference, training, distillation
#[derive(Args)]
#[command(after_help = "\
The steps, on random images of CIFAR's size, 3x32x32, with 100 classes; networks that end in _224
take ImageNet's, 3x224x224, with 1000 classes, and an eighth of the batch:
  infer NET            a forward pass in evaluation, without gradients
  infer1 NET           the same, of one image at a time, whatever --batch says
  train NET            cross-entropy, forward and backward, SGD
  kd TEACHER STUDENT   the teacher's forward pass, 0.1 CE + 0.9 KD at temperature 4, the student's
                       backward pass, SGD
Rows with DINOv2 take images of 3x98x98, 7 x 7 of its patches. Networks of text read sequences of 32
tokens, in half a batch; detectors see scenes of their own size in a sixteenth of it, those of two
stages scenes of 320 in a 32nd (that ends in _800: of 800 in a 64th), and are trained with the losses
of their kind; kd of detectors adds the distance of C3 to C5 to that.

Examples:
  kd bench step
  kd bench step --only resnet20                            the rows whose name has it
  kd bench step --threads 8 --batch 128 --json step.json   for `cargo xtask bench compare`")]
pub struct Arguments {
    /// Measure only the rows whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    #[command(flatten)]
    pub(super) timing: Timing,
}

/// What is timed.
#[derive(Clone, Copy)]
pub enum Row {
    /// A forward pass.
    Infer(&'static str),
    /// A forward pass of one image.
    InferOne(&'static str),
    /// A step on labels.
    Train(&'static str),
    /// A step with a teacher, which is named first.
    Distil(&'static str, &'static str),
}

/// Narrow and wide residual networks and one of depthwise convolutions, alone and in pairs; then torchvision's
/// networks for large images, transformers, text, and detectors.
const ROWS: [Row; 40] = [
    Row::Infer("resnet20"),
    Row::Infer("resnet56"),
    Row::Infer("resnet8x4"),
    Row::Infer("resnet32x4"),
    Row::Infer("shufflenet_v2"),
    Row::InferOne("resnet20"),
    Row::InferOne("resnet56"),
    Row::InferOne("resnet8x4"),
    Row::InferOne("resnet32x4"),
    Row::InferOne("shufflenet_v2"),
    Row::Train("resnet20"),
    Row::Train("resnet8x4"),
    Row::Train("shufflenet_v2"),
    Row::Distil("resnet56", "resnet20"),
    Row::Distil("resnet32x4", "resnet8x4"),
    Row::Distil("resnet32x4", "shufflenet_v2"),
    Row::Infer("resnet18_224"),
    Row::Infer("resnet50_224"),
    Row::Infer("mobilenet_v2_224"),
    Row::Infer("mobilenet_v3_large_224"),
    Row::Infer("vgg16_224"),
    Row::Infer("efficientnet_b0_224"),
    Row::Train("resnet18_224"),
    Row::Train("resnet50_224"),
    Row::Train("mobilenet_v2_224"),
    Row::Train("mobilenet_v3_large_224"),
    Row::Train("vgg16_224"),
    Row::Train("efficientnet_b0_224"),
    // Transformers.
    Row::Infer("vit_p4_d6_w192_mlp4"),
    Row::Train("vit_p4_d6_w192_mlp4"),
    Row::Infer(DINOV2),
    Row::Distil(DINOV2, "resnet20"),
    Row::Infer("minilm_l6_h384"),
    Row::Train("minilm_l6_h384"),
    Row::Infer("ssd300_vgg16"),
    Row::Train("ssd300_vgg16"),
    Row::Infer("fasterrcnn_resnet50_fpn"),
    Row::Infer("fasterrcnn_resnet50_fpn_800"),
    Row::Train("fasterrcnn_resnet18_fpn"),
    Row::Distil("fasterrcnn_resnet18_fpn", "ssd300_vgg16_quarter"),
];

/// Ends the name of a row of scenes of 800 pixels.
const LARGE: &str = "_800";

/// The small DINOv2.
const DINOV2: &str = "vit_small_patch14_dinov2";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Infer(network) => write!(f, "infer {network}"),
            Self::InferOne(network) => write!(f, "infer1 {network}"),
            Self::Train(network) => write!(f, "train {network}"),
            Self::Distil(teacher, student) => write!(f, "kd {teacher} {student}"),
        }
    }
}

/// What networks read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Images,
    Text,
    Scenes,
}

impl Row {
    /// The network that is timed, or learns.
    fn name(self) -> &'static str {
        let name = self.said();
        name.strip_suffix(LARGE).unwrap_or(name)
    }

    /// Whether its scenes are of 800 pixels.
    fn is_large(self) -> bool {
        self.said().ends_with(LARGE)
    }

    fn said(self) -> &'static str {
        match self {
            Self::Infer(name)
            | Self::InferOne(name)
            | Self::Train(name)
            | Self::Distil(_, name) => name,
        }
    }

    fn kind(self) -> Kind {
        let name = self.name();
        if text_models().any(|(known, ..)| known == name) {
            Kind::Text
        } else if DETECTORS.iter().any(|(known, ..)| *known == name) {
            Kind::Scenes
        } else {
            Kind::Images
        }
    }

    /// Samples of a step, where batches of small images are of `batch`: what is larger takes a part.
    fn samples(self, batch: u32) -> u32 {
        let name = self.name();
        let part = match (self, self.kind()) {
            (Self::InferOne(_), _) => return 1,
            (_, Kind::Text) => 2,
            (_, Kind::Scenes) if self.is_large() => 64,
            (_, Kind::Scenes) if name.starts_with("fasterrcnn") => 32,
            (_, Kind::Scenes) => 16,
            (Self::Infer(_) | Self::Train(_), Kind::Images) if name.ends_with("_224") => 8,
            (_, Kind::Images) => 1,
        };
        (batch / part).max(1)
    }

    /// Height and width of its images and scenes, or tokens of its texts.
    fn size(self) -> Result<usize> {
        let name = self.name();
        Ok(match (self, self.kind()) {
            (_, Kind::Text) => 32,
            (_, Kind::Scenes) if self.is_large() => 800,
            (_, Kind::Scenes) if name.starts_with("fasterrcnn") => 320,
            (_, Kind::Scenes) => 300,
            (Self::Infer(DINOV2) | Self::Distil(DINOV2, _), _) => 98,
            (_, Kind::Images) => subject::config(name).image_size()?,
        })
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let rows: Vec<Row> = ROWS
        .into_iter()
        .filter(|row| row.to_string().contains(&arguments.only))
        .collect();
    if rows.is_empty() {
        let all: Vec<_> = ROWS.iter().map(Row::to_string).collect();
        let message = format!(
            "no row contains `{}`; there are: {}",
            arguments.only,
            all.join(", ")
        );
        return Err(BadInput(message).into());
    }
    let timing = &arguments.timing;
    let selection = timing.device.selection()?;
    let device = selection.open()?;
    let batch = timing.batch;
    print(format_args!(
        "samples/s on {selection}, batches of {batch}, {} threads, best and median of {} steps\n\n\
         | {:27} | {:>8} | {:>8} |\n|:{:-<27}-|-{:->8}:|-{:->8}:|",
        timing.threads, timing.repeat, "step", "best", "median", "", "", ""
    ))?;
    let mut measured = Map::new();
    for row in rows {
        let batch = row.samples(batch);
        let seconds = time(row, batch as usize, timing.repeat, &device)?;
        let samples = f64::from(batch);
        let best = samples / seconds.best();
        let median = samples / seconds.median();
        print(format_args!(
            "| {:27} | {best:8.1} | {median:8.1} |",
            row.to_string()
        ))?;
        let values = json!({ "best": best, "median": median });
        measured.insert(format!("{row} {selection}"), values);
    }
    timing.write(&selection, [("rows", measured.into())])
}

/// Times a row.
///
/// # Errors
/// When the device fails.
pub fn time(row: Row, batch: usize, repeat: u32, device: &Device) -> Result<Seconds> {
    match row.kind() {
        Kind::Images => time_of::<Network>(row, batch, repeat, device),
        Kind::Text => time_of::<TextNetwork>(row, batch, repeat, device),
        Kind::Scenes => time_of::<Detector>(row, batch, repeat, device),
    }
}

fn time_of<N: Subject>(row: Row, batch: usize, repeat: u32, device: &Device) -> Result<Seconds> {
    let size = row.size()?;
    let (teacher, objective) = match row {
        Row::Infer(_) | Row::InferOne(_) => {
            let network = N::named(row.name(), size, device)?.prepare();
            let (input, _) = N::random(batch, size, device)?;
            return timing::repeat(repeat, device, || {
                network.forward(input.clone(), &Taps::none());
                Ok(())
            });
        }
        Row::Train(_) => (None, N::alone()),
        Row::Distil(teacher, _) => (Some(teacher), N::distilled()),
    };
    let autodiff = device.clone().autodiff();
    let student = N::named(row.name(), size, &autodiff)?;
    let teacher = teacher
        .map(|name| N::named(name, size, device))
        .transpose()?;
    let dry_run = |network: &N| -> Result<_> {
        let (input, _) = N::random(2, size, device)?;
        Ok(network.forward(input, &Taps::all()))
    };
    let objective = serde_json::from_value::<ObjectiveConfig>(objective)?.init(
        &dry_run(&student.valid())?,
        teacher.as_ref().map(dry_run).transpose()?.as_ref(),
        &autodiff,
    )?;
    // Momentum 0.9 and a weight decay of 5e-4 are the defaults.
    let config: TrainConfig = serde_json::from_value(json!({
        "epochs": 1,
        "lr": { "peak": N::RATE },
    }))?;
    let mut learner = Learner::new(student, objective, &config);
    let sample = N::random(batch, size, &autodiff)?;
    let at = Step {
        epoch: 1,
        epochs: 1,
        index: 0,
    };
    timing::repeat(repeat, device, || {
        let values = learner.step(teacher.as_ref(), vec![sample.clone()], &at, config.lr.peak)?;
        // Such a step leaves the optimiser out, so its time would be of something else.
        match values.not_finite() {
            Some((what, value)) => bail!("{row}: the {what} became {value}"),
            None => Ok(()),
        }
    })
}
