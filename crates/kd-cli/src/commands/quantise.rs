//! `kd quantise`.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use kd_compress::quantise::{QuantiseConfig, Range, Rounding};
use kd_models::WeightsHeader;
use kd_train::{EvalOptions, Recipe, fetch_weights, quantise};

use super::DeviceArgument;
use crate::{interrupt::Interrupt, progress::Watch};

/// Put the student of a run on integer grids, without training
#[derive(Args)]
#[command(after_help = "Examples:
  kd quantise runs/quickstart student-int8.safetensors
  kd quantise runs/quickstart student-int8.safetensors --symmetric --range percentile --floats 1
  kd quantise runs/quickstart student-int4.safetensors --bits 4 --round learned
  kd export --weights student-int8.safetensors --onnx student-int8.onnx

Ranges are found in images of the training split; what it cost is measured on the validation split. Where that is too
much, `quantise = {}` in a recipe trains the network on its grids.")]
pub struct Arguments {
    /// Folder of a run, whose student is quantised, with the run's data.
    run: PathBuf,
    /// File to write; it must not exist yet.
    output: PathBuf,
    /// Other weights of the run's network, such as those of a checkpoint.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Bits of a weight, 2 to 8.
    #[arg(long, value_name = "N", default_value_t = 8)]
    bits: u32,
    /// Bits of an input, 2 to 8.
    #[arg(long, value_name = "N", default_value_t = 8)]
    input_bits: u32,
    /// Inputs with a sign and zero at 0, which TensorRT wants.
    #[arg(long)]
    symmetric: bool,
    /// How ranges of inputs are found.
    #[arg(long, value_enum, default_value_t = By::MinMax)]
    range: By,
    /// Which number of its grid a weight becomes.
    #[arg(long, value_enum, default_value_t = To::Nearest)]
    round: To,
    /// Training images that ranges are found in.
    #[arg(long, value_name = "N", default_value_t = 256)]
    images: usize,
    /// Layers that compute with floats, by name.
    #[arg(long, value_name = "LAYER", value_delimiter = ',')]
    keep: Vec<String>,
    /// This many more, those that move the answers most.
    #[arg(long, value_name = "N", default_value_t = 0)]
    floats: usize,
    #[command(flatten)]
    device: DeviceArgument,
    /// Show no progress, only the result.
    #[arg(long, short)]
    quiet: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum By {
    /// Its ends.
    MinMax,
    /// 99.99 % of its values.
    Percentile,
    /// The least squared error.
    LeastSquares,
}

#[derive(Clone, Copy, ValueEnum)]
enum To {
    /// The nearest.
    Nearest,
    /// Below or above, so that its layer's outputs move least on these images: for few bits.
    Learned,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    super::convert::check_output(&arguments.output)?;
    let device = arguments.device.selection()?.open()?;
    let recipe = Recipe::load(&arguments.run.join("recipe.toml"), &[])?;
    let options = EvalOptions {
        // The images that it was trained on.
        data: recipe.data.clone(),
        ..EvalOptions::of_run(&arguments.run, arguments.weights.as_deref())?
    };
    let config = QuantiseConfig {
        weights: arguments.bits,
        inputs: arguments.input_bits,
        symmetric: arguments.symmetric,
        range: match arguments.range {
            By::MinMax => Range::MinMax,
            By::Percentile => Range::Percentile,
            By::LeastSquares => Range::LeastSquares,
        },
        rounding: match arguments.round {
            To::Nearest => Rounding::Nearest,
            To::Learned => Rounding::Learned,
        },
        images: arguments.images,
        keep: arguments.keep.clone(),
    };
    // Nothing is half written when Ctrl-C ends this.
    let mut watch = Watch::new(arguments.quiet, Interrupt::default());
    let weights = fetch_weights(&options.weights, &mut watch)?;
    let (floats, seed) = (arguments.floats, recipe.seed);
    let quantised = quantise(&options, &config, floats, seed, &device, &mut watch)?;
    drop(watch);
    let mut header = WeightsHeader::read(&weights)?;
    header.model = Some(quantised.network.config().model.clone());
    quantised.save(&arguments.output, &header.entries())?;
    let mut layers = comfy_table::Table::new();
    layers
        .load_preset(comfy_table::presets::ASCII_MARKDOWN)
        .set_header([
            "layer",
            "signal by noise, dB",
            "clipped, %",
            "moves answers by, nats",
        ]);
    for layer in &quantised.layers {
        layers.add_row([
            layer.layer.clone(),
            format!("{:.1}", layer.signal_db),
            format!("{:.3}", 100.0 * layer.clipped),
            format!("{:.2e}", layer.divergence),
        ]);
    }
    super::print(&layers)?;
    if let Some([float, grids]) = &quantised.scores
        && let (Some(float), Some(grids)) = (float.first(), grids.first())
    {
        let agreement = quantised.agreement;
        let agreement = agreement.map_or(String::new(), |percent| {
            format!("; the two agree on {percent:.2} %")
        });
        super::print(format_args!(
            "\n{} of {} validation images: {} with floats, {} on grids{agreement}",
            float.title,
            quantised.images,
            float.show(float.value),
            grids.show(grids.value),
        ))?;
    }
    super::print(format_args!("\n{}", arguments.output.display()))
}
