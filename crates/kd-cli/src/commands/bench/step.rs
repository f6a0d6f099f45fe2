//! `kd bench step`.

use std::fmt;

use anyhow::{Result, bail};
use burn::module::Module;
use burn::tensor::{Device, Distribution, Int, Tensor};
use clap::Args;
use kd_core::{ObjectiveConfig, Step, Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::{Learner, TrainConfig};
use serde_json::{Map, json};

use super::{
    Timing,
    timing::{self, Seconds},
};
use crate::{commands::print, failure::BadInput};

/// Images per second of single steps: inference, training, distillation
#[derive(Args)]
#[command(after_help = "\
The steps, on random images of CIFAR's size, 3x32x32, with 100 classes; networks that end in _224
take ImageNet's, 3x224x224, with 1000 classes, and an eighth of the batch:
  infer NET            a forward pass in evaluation, without gradients
  infer1 NET           the same, of one image at a time, whatever --batch says
  train NET            cross-entropy, forward and backward, SGD
  kd TEACHER STUDENT   the teacher's forward pass, 0.1 CE + 0.9 KD at temperature 4, the student's
                       backward pass, SGD
Rows with DINOv2 take images of 3x98x98, 7 x 7 of its patches.

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
/// networks for large images, and
/// transformers.
const ROWS: [Row; 32] = [
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
];

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

impl Row {
    /// Images of a step, where batches of small images are of `batch`: large ones take an eighth.
    fn images(self, batch: u32) -> u32 {
        match self {
            Self::InferOne(_) => 1,
            Self::Infer(network) | Self::Train(network) if network.ends_with("_224") => {
                (batch / 8).max(1)
            }
            _ => batch,
        }
    }

    /// Height and width of its images.
    fn size(self) -> Result<usize> {
        Ok(match self {
            Self::Infer(DINOV2) | Self::Distil(DINOV2, _) => 98,
            Self::Infer(name)
            | Self::InferOne(name)
            | Self::Train(name)
            | Self::Distil(_, name) => config(name).image_size()?,
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
        "images/s on {selection}, batches of {batch}, {} threads, best and median of {} steps\n\n\
         | {:27} | {:>8} | {:>8} |\n|:{:-<27}-|-{:->8}:|-{:->8}:|",
        timing.threads, timing.repeat, "step", "best", "median", "", "", ""
    ))?;
    let mut measured = Map::new();
    for row in rows {
        let batch = row.images(batch);
        let seconds = time(row, batch as usize, timing.repeat, &device)?;
        let images = f64::from(batch);
        let best = images / seconds.best();
        let median = images / seconds.median();
        print(format_args!(
            "| {:27} | {best:8.1} | {median:8.1} |",
            row.to_string()
        ))?;
        let values = json!({ "best": best, "median": median });
        measured.insert(format!("{row} {selection}"), values);
    }
    timing.write(&selection, [("rows", measured.into())])
}

/// Classes of CIFAR-100 and of ImageNet.
const CLASSES: [usize; 2] = [100, 1000];

/// Height and width of CIFAR's images.
const SMALL: usize = 32;

/// The configuration of a network of the registry, for CIFAR's or ImageNet's images and classes.
fn config(name: &str) -> NetworkConfig {
    let [small, large] = CLASSES;
    let classes = if name.ends_with("_224") { large } else { small };
    NetworkConfig::new(name, classes, 3)
}

/// A network of the registry with weights that every call draws alike.
pub fn network(name: &str, device: &Device) -> Result<Network> {
    network_for(name, config(name).image_size()?, device)
}

/// The same for images of another size.
fn network_for(name: &str, size: usize, device: &Device) -> Result<Network> {
    draw::seed(1);
    Ok(Network::new(&config(name).with_image_size(size), device)?)
}

/// Random images of CIFAR's size and their classes.
pub fn random_batch(batch: usize, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    random_images(batch, SMALL, device)
}

/// Random square images and their classes, of CIFAR-100's number.
fn random_images(batch: usize, size: usize, device: &Device) -> (Tensor<4>, Tensor<1, Int>) {
    let images = Tensor::random([batch, 3, size, size], Distribution::Default, device);
    let labels: Vec<i32> = (0..batch).map(|i| (i * 37 % CLASSES[0]) as i32).collect();
    (images, Tensor::from_ints(labels.as_slice(), device))
}

/// Times a row.
///
/// # Errors
/// When the device fails.
pub fn time(row: Row, batch: usize, repeat: u32, device: &Device) -> Result<Seconds> {
    let size = row.size()?;
    let (student, teacher, objective) = match row {
        Row::Infer(name) | Row::InferOne(name) => {
            let network = network_for(name, size, device)?.prepare();
            let (images, _) = random_images(batch, size, device);
            return timing::repeat(repeat, device, || {
                network.forward(images.clone(), &Taps::none());
                Ok(())
            });
        }
        Row::Train(student) => (student, None, json!({ "cross_entropy": { "weight": 1 } })),
        Row::Distil(teacher, student) => (
            student,
            Some(teacher),
            json!({
                "cross_entropy": { "weight": 0.1 },
                "kd": { "weight": 0.9, "temperature": 4 },
            }),
        ),
    };
    let autodiff = device.clone().autodiff();
    let student = network_for(student, size, &autodiff)?;
    let teacher = teacher
        .map(|name| network_for(name, size, device))
        .transpose()?;
    let dry_run =
        |network: &Network| network.forward(random_images(2, size, device).0, &Taps::all());
    let objective = serde_json::from_value::<ObjectiveConfig>(objective)?.init(
        &dry_run(&student.valid()),
        teacher.as_ref().map(dry_run).as_ref(),
        &autodiff,
    )?;
    // Momentum 0.9 and a weight decay of 5e-4 are the defaults.
    let config: TrainConfig = serde_json::from_value(json!({
        "epochs": 1,
        "lr": { "peak": 0.01 },
    }))?;
    let mut learner = Learner::new(student, objective, &config);
    let (images, labels) = random_images(batch, size, &autodiff);
    let at = Step {
        epoch: 1,
        epochs: 1,
        index: 0,
    };
    timing::repeat(repeat, device, || {
        let batch = vec![(images.clone(), labels.clone())];
        let values = learner.step(teacher.as_ref(), batch, &at, config.lr.peak)?;
        // Such a step leaves the optimiser out, so its time would be of something else.
        match values.not_finite() {
            Some((what, value)) => bail!("{row}: the {what} became {value}"),
            None => Ok(()),
        }
    })
}
