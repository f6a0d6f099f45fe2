//! `kd bench losses`.

mod memory;

use anyhow::Result;
use burn::tensor::Device;
use clap::Args;
use kd_core::{Objective, ObjectiveConfig, Output, Pair, Part, PartValue, Step, Taps, Targets};
use kd_models::Backbone;
use serde_json::{Map, Value, json};

use super::{
    Timing,
    step::{self, Row},
    timing::{self, Seconds},
};
use crate::{
    commands::{losses_with, print},
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
    #[command(flatten)]
    pub(super) timing: Timing,
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
    let timing = &arguments.timing;
    let selection = timing.device.selection()?;
    let device = selection.open()?;
    let bench = Bench::new(timing.batch as usize, &device)?;
    if arguments.memory {
        return memory::print(&bench, &names);
    }
    let memory = memory::measure(arguments, &selection);
    let pair = Row::Distil(TEACHER, STUDENT);
    let step = step::time(pair, timing.batch as usize, timing.repeat, &device)?.median();
    print(format_args!(
        "on {selection}, batches of {}, {} threads, median of {}; a step with `kd` from {TEACHER} \
         to {STUDENT} takes {:.1} ms\n\n\
         | {:15} | {:>8} | {:>9} | {:>8} |\n|:{:-<15}-|-{:->8}:|-{:->9}:|-{:->8}:|",
        timing.batch,
        timing.threads,
        timing.repeat,
        1e3 * step,
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
        match bench.time(name, timing.repeat) {
            Ok(seconds) => {
                let peaks = memory.as_ref().ok();
                let cost = Cost {
                    share: seconds.median() / step,
                    seconds,
                    memory: peaks.and_then(|peaks| peaks.get(name)).copied(),
                };
                print(cost.line(name))?;
                measured.insert(name.into(), cost.json());
            }
            Err(error) => {
                refused.insert(name.into(), failure::text(&error).into());
            }
        }
    }
    if let Err(error) = &memory {
        print(format_args!("\nno memory: {}", failure::text(error)))?;
    }
    print_refused(&refused)?;
    timing.write(
        &selection,
        [
            ("teacher", TEACHER.into()),
            ("student", STUDENT.into()),
            ("step_ms", (1e3 * step).into()),
            ("losses", measured.into()),
            ("refused", refused.into()),
        ],
    )
}

/// What a loss costs.
struct Cost {
    seconds: Seconds,
    /// Its time as a share of a step's.
    share: f64,
    /// Bytes at its peak, where they are known.
    memory: Option<u64>,
}

impl Cost {
    /// A row of the table.
    fn line(&self, name: &str) -> String {
        format!(
            "| {name:15} | {:8.2} | {:7.2} % | {:>8} |",
            1e3 * self.seconds.median(),
            100.0 * self.share,
            match self.memory {
                None => "-".into(),
                Some(bytes) if bytes < memory::RESOLUTION => "< 1 MB".into(),
                Some(bytes) => format::bytes(bytes),
            }
        )
    }

    fn json(&self) -> Value {
        json!({
            "best_ms": 1e3 * self.seconds.best(),
            "median_ms": 1e3 * self.seconds.median(),
            "share_of_step": self.share,
            "memory_bytes": self.memory,
        })
    }
}

/// Prints the losses that cannot work between these networks, each with the reason.
fn print_refused(refused: &Map<String, Value>) -> Result<()> {
    if refused.is_empty() {
        return Ok(());
    }
    let lines: Vec<_> = refused
        .iter()
        .map(|(name, why)| format!("  {name}: {}", why.as_str().unwrap_or_default()))
        .collect();
    print(format_args!(
        "\nnot on this pair of networks:\n{}",
        lines.join("\n")
    ))
}

/// What both networks show of one batch.
struct Bench {
    student: Output,
    teacher: Output,
    targets: Targets,
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
            targets: labels.into(),
            indices: (0..batch).collect(),
            device: device.clone(),
        })
    }

    /// One loss alone, with the settings of the literature.
    fn objective(&self, name: &str) -> Result<Objective> {
        let config: ObjectiveConfig = serde_json::from_value(json!({ name: { "weight": 1 } }))?;
        let config = config.with_samples(SAMPLES)?;
        let autodiff = self.device.clone().autodiff();
        Ok(config.init(&self.student, Some(&self.teacher), &autodiff)?)
    }

    /// Forward and backward.
    fn compute(&self, objective: &Objective) -> Result<()> {
        let student = within_graph(&self.student);
        let pair = Pair {
            student: &student,
            teacher: Some(&self.teacher),
            targets: &self.targets,
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
    output.clone().map_parts(|part, value| match (part, value) {
        // Turned and turned back: no value moves.
        (Part::Maps | Part::MapsPreact, PartValue::Rank4(map)) => {
            map.swap_dims(0, 1).swap_dims(0, 1).into()
        }
        (_, other) => other,
    })
}

/// The same output as leaves of the graph, so that what is differentiated is the loss alone.
fn with_gradients(output: Output) -> Output {
    let mut output = output.map_parts(|_, value| match value {
        PartValue::Rank2(tensor) => tensor.require_grad().into(),
        PartValue::Rank3(tensor) => tensor.require_grad().into(),
        PartValue::Rank4(tensor) => tensor.require_grad().into(),
        other => other,
    });
    output.logits = output.logits.require_grad();
    output
}
