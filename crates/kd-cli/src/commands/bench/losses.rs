//! `kd bench losses`.

mod memory;

use std::path::PathBuf;

use anyhow::Result;
use burn::tensor::{Device, Int, Tensor};
use clap::Args;
use kd_core::{Levels, Maps, Objective, ObjectiveConfig, Output, Pair, Step, Taps};
use kd_models::Backbone;
use serde_json::{Map, json};

use super::{
    BURN, Threads,
    step::{self, Row},
    timing::{self, Seconds},
};
use crate::{
    commands::{DeviceArgument, losses_with, print},
    failure, format,
};

/// Time and memory of every distillation loss, on top of the networks
#[derive(Args)]
#[command(after_help = "\
Each loss gets what ResNet-32x4 and ResNet-8x4 show of random images of CIFAR's size, 3x32x32,
with 100 classes. Time is its forward pass and the gradients of the student's outputs; the share is
that of a step with `kd` from the one network to the other. Memory is what the process grows by
meanwhile, beside the outputs; it is known on Linux, for devices that compute on the CPU.

Examples:
  kd bench losses
  kd bench losses --only kd                    the losses whose name has it
  kd bench losses --batch 128 --json losses.json")]
pub struct Arguments {
    /// Measure only the losses whose name contains this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Images in a batch.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    batch: u32,
    /// Times to compute each, after one that is not counted.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// Write the measurements to a file.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    #[command(flatten)]
    pub(super) threads: Threads,
    #[command(flatten)]
    device: DeviceArgument,
    /// Print the memory of each loss in bytes and nothing else.
    #[arg(long, hide = true)]
    memory: bool,
}

const TEACHER: &str = "resnet32x4";
const STUDENT: &str = "resnet8x4";
/// Images of CIFAR-100's training set, for terms that keep something of each.
const SAMPLES: usize = 50_000;

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let names = losses_with(&arguments.only)?;
    let selection = arguments.device.selection()?;
    let device = selection.open()?;
    let bench = Bench::new(arguments.batch as usize, &device)?;
    if arguments.memory {
        return memory::print(&bench, &names);
    }
    let memory = memory::measure(arguments, &selection);
    let whole = step::time(
        Row::Distil(TEACHER, STUDENT),
        arguments.batch as usize,
        arguments.repeat,
        &device,
    )?;
    print(format_args!(
        "on {selection}, batches of {}, {} threads, median of {}; a step with `kd` from {TEACHER} \
         to {STUDENT} takes {:.1} ms\n\n\
         | {:15} | {:>8} | {:>9} | {:>8} |\n|:{:-<15}-|-{:->8}:|-{:->9}:|-{:->8}:|",
        arguments.batch,
        arguments.threads.threads,
        arguments.repeat,
        1e3 * whole.median(),
        "loss",
        "ms",
        "of a step",
        "memory",
        "",
        "",
        "",
        ""
    ))?;
    let (mut measured, mut refused) = (Map::new(), Map::new());
    for name in names {
        let seconds = match bench.time(name, arguments.repeat) {
            Ok(seconds) => seconds,
            Err(error) => {
                refused.insert(name.into(), failure::text(&error).into());
                continue;
            }
        };
        let bytes = memory.as_ref().ok().and_then(|peaks| peaks.get(name));
        let share = seconds.median() / whole.median();
        print(format_args!(
            "| {name:15} | {:8.2} | {:7.2} % | {:>8} |",
            1e3 * seconds.median(),
            100.0 * share,
            match bytes {
                None => "-".into(),
                Some(&bytes) if bytes < memory::RESOLUTION => "< 1 MB".into(),
                Some(&bytes) => format::bytes(bytes),
            }
        ))?;
        let values = json!({
            "best_ms": 1e3 * seconds.best(),
            "median_ms": 1e3 * seconds.median(),
            "share_of_step": share,
            "memory_bytes": bytes,
        });
        measured.insert(name.into(), values);
    }
    if let Err(error) = &memory {
        print(format_args!("\nno memory: {}", failure::text(error)))?;
    }
    if !refused.is_empty() {
        let lines: Vec<_> = refused
            .iter()
            .map(|(name, why)| format!("  {name}: {}", why.as_str().unwrap_or_default()))
            .collect();
        print(format_args!(
            "\nnot on this pair of networks:\n{}",
            lines.join("\n")
        ))?;
    }
    let Some(path) = &arguments.json else {
        return Ok(());
    };
    let all = json!({
        "burn": BURN,
        "kd": env!("CARGO_PKG_VERSION"),
        "backend": selection.to_string(),
        "threads": arguments.threads.threads,
        "batch": arguments.batch,
        "teacher": TEACHER,
        "student": STUDENT,
        "step_ms": 1e3 * whole.median(),
        "losses": measured,
        "refused": refused,
    });
    super::write_json(path, &all)
}

/// What both networks show of one batch.
struct Bench {
    student: Output,
    teacher: Output,
    labels: Tensor<1, Int>,
    /// Places in a training set.
    indices: Vec<usize>,
    device: Device,
}

impl Bench {
    fn new(batch: usize, device: &Device) -> Result<Self> {
        let autodiff = device.clone().autodiff();
        let (images, _) = step::random_batch(batch, device);
        let (_, labels) = step::random_batch(batch, &autodiff);
        let show = |name: &str| -> Result<Output> {
            let network = step::network(name, device)?;
            Ok(network.forward(images.clone(), &Taps::all()).lift())
        };
        Ok(Self {
            student: with_gradients(show(STUDENT)?),
            teacher: show(TEACHER)?,
            labels,
            indices: (0..batch).collect(),
            device: device.clone(),
        })
    }

    /// One loss alone, with the settings of the literature.
    fn objective(&self, name: &str) -> Result<Objective> {
        let config: ObjectiveConfig = serde_json::from_value(json!({ name: { "weight": 1 } }))?;
        let config = config.with_samples(SAMPLES);
        let autodiff = self.device.clone().autodiff();
        Ok(config.init(&self.student, Some(&self.teacher), &autodiff)?)
    }

    /// Forward and backward.
    fn compute(&self, objective: &Objective) -> Result<()> {
        let student = within_graph(&self.student);
        let pair = Pair {
            student: &student,
            teacher: Some(&self.teacher),
            labels: &self.labels,
            indices: Some(&self.indices),
        };
        let at = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        objective.forward(&pair, &at)?.total.backward();
        Ok(())
    }

    fn time(&self, name: &str, repeat: u32) -> Result<Seconds> {
        let objective = self.objective(name)?;
        timing::repeat(repeat, &self.device, || self.compute(&objective))
    }
}

/// The same output with maps that are inner nodes of the graph, as a network's are: several gradients of a leaf
/// are added up by burn and not by the loss's kernels.
fn within_graph(output: &Output) -> Output {
    let inner = |maps: &Maps<4>| {
        let mut nodes = Maps::default();
        for (_, map) in maps.iter() {
            // Turned and turned back: no value moves.
            let map = map.clone().swap_dims(0, 1).swap_dims(0, 1);
            nodes.push(&map, &Levels::All);
        }
        nodes
    };
    Output {
        maps: inner(&output.maps),
        maps_preact: inner(&output.maps_preact),
        ..output.clone()
    }
}

/// The same output as leaves of the graph, so that what is differentiated is the loss alone.
fn with_gradients(output: Output) -> Output {
    fn leaves<const D: usize>(maps: &Maps<D>) -> Maps<D> {
        let mut leaves = Maps::default();
        for (_, map) in maps.iter() {
            leaves.push(&map.clone().require_grad(), &Levels::All);
        }
        leaves
    }
    Output {
        logits: output.logits.require_grad(),
        embedding: output.embedding.map(Tensor::require_grad),
        classifier: output.classifier,
        maps: leaves(&output.maps),
        maps_preact: leaves(&output.maps_preact),
        tokens: leaves(&output.tokens),
        attentions: leaves(&output.attentions),
        members: output.members,
    }
}
