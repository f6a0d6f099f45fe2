//! `kd prune`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use kd_compress::prune::{Attention, By, NetworkPruning, PruneConfig, Scope};
use kd_models::{Network, WeightsHeader};
use kd_train::fetch_weights;

use crate::failure::BadInput;
use crate::{files, interrupt::Interrupt, progress::Watch};

/// Remove whole channels of a network, those that matter least
#[derive(Args)]
#[command(after_help = "Example:
  kd prune teacher.safetensors student.safetensors --macs 0.5
  kd prune teacher.safetensors student.safetensors --ratio 0.3 --scope local --round-to 8 --plan plan.json

The pruned network is weights like any other: `student.weights` of a recipe trains it further, best with the
network it came from as the teacher. Its widths are in the file.")]
pub struct Arguments {
    /// Weights to read, as `kd convert` reads them.
    input: PathBuf,
    /// File to write; it must not exist yet.
    output: PathBuf,
    /// Leave at most this share of the multiply-accumulates.
    #[arg(long, value_name = "SHARE", group = "goal")]
    macs: Option<f64>,
    /// Leave at most this share of the parameters.
    #[arg(long, value_name = "SHARE", group = "goal")]
    parameters: Option<f64>,
    /// Remove this share of the channels.
    #[arg(long, value_name = "SHARE", group = "goal")]
    ratio: Option<f64>,
    /// What a channel is judged by.
    #[arg(long, value_enum, default_value_t = Judge::L2)]
    by: Judge,
    /// Who competes with whom.
    #[arg(long, value_enum, default_value_t = Among::Global)]
    scope: Among,
    /// Keep multiples of so many channels.
    #[arg(long, value_name = "N", default_value_t = 1)]
    round_to: usize,
    /// The most that a group of channels may lose, as a share.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    at_most: f64,
    /// What of attention can go.
    #[arg(long, value_enum, default_value_t = Of::HeadSizes)]
    attention: Of,
    /// Layers whose outputs stay, by name.
    #[arg(long, value_name = "LAYER", value_delimiter = ',')]
    keep: Vec<String>,
    /// Write the kept channels of each group as JSON.
    #[arg(long, value_name = "FILE")]
    plan: Option<PathBuf>,
    /// Draw the kept channels of each group as SVG.
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Name of the network (`kd models` lists them) [default: as the weights say].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Classes that it tells apart [default: as the weights say].
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Channels of its images [default: as the weights say, else 3].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Judge {
    /// Sum of absolute weights.
    L1,
    /// Sum of squared weights.
    L2,
    /// Sum of squared weights, by the share among those that are larger.
    Lamp,
    /// Scale of batch normalisation.
    BatchNorm,
    /// Distance to the other channels.
    GeometricMedian,
    /// By lot.
    Random,
}

#[derive(Clone, Copy, ValueEnum)]
enum Among {
    /// Channels of one group.
    Local,
    /// All channels.
    Global,
    /// Channels of groups of the same structure.
    Isomorphic,
}

#[derive(Clone, Copy, ValueEnum)]
enum Of {
    /// The same numbers of every head.
    HeadSizes,
    /// Whole heads.
    Heads,
    /// Nothing.
    Keep,
}

impl Arguments {
    fn config(&self) -> PruneConfig {
        PruneConfig {
            macs: self.macs,
            parameters: self.parameters,
            ratio: self.ratio,
            by: match self.by {
                Judge::L1 => By::L1,
                Judge::L2 => By::L2,
                Judge::Lamp => By::Lamp,
                Judge::BatchNorm => By::BatchNorm,
                Judge::GeometricMedian => By::GeometricMedian,
                Judge::Random => By::Random,
            },
            scope: match self.scope {
                Among::Local => Scope::Local,
                Among::Global => Scope::Global,
                Among::Isomorphic => Scope::Isomorphic,
            },
            round_to: self.round_to,
            at_most: self.at_most,
            attention: match self.attention {
                Of::HeadSizes => Attention::HeadSizes,
                Of::Heads => Attention::Heads,
                Of::Keep => Attention::Keep,
            },
            keep: self.keep.clone(),
            // There are none.
            images: 0,
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    super::convert::check_output(output)?;
    for path in arguments.plan.iter().chain(&arguments.picture) {
        files::check_place(path)?;
    }
    let bad = |problem: kd_compress::Error| BadInput(problem.to_string());
    let prune = arguments.config();
    prune.check().map_err(bad)?;
    let device = crate::device::preferred()?.open()?;
    let input = fetch_weights(
        &arguments.input,
        &mut Watch::new(false, Interrupt::default()),
    )?;
    let mut header = WeightsHeader::read(&input)?;
    header.model = arguments.model.clone().or(header.model);
    header.classes = arguments.classes.or(header.classes);
    header.channels = arguments.channels.or(header.channels).or(Some(3));
    let config = super::network_of(&header);
    let config = config.ok_or_else(|| BadInput(super::unsaid(&input, &header)))?;
    let network = Network::from_file(&config, &input, &device)?;
    let pruning = NetworkPruning::new(&network, &prune.options()).map_err(bad)?;
    let structure = &pruning.structure;
    let plan = prune.plan(&pruning).map_err(bad)?;
    let pruned = pruning.prune(&plan).map_err(bad)?;
    if let Some(path) = &arguments.plan {
        let json = serde_json::to_string_pretty(&plan).context("write the plan")?;
        files::write(path, &json)?;
    }
    if let Some(path) = &arguments.picture {
        files::write(path, &plan.picture(structure).map_err(bad)?)?;
    }
    let (before, after) = (structure.cost(), plan.cost(structure).map_err(bad)?);
    header.model = Some(network.config().model.clone());
    pruned.network.save(output, &header.entries())?;
    let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
    super::print(format_args!(
        "{}: {} of {} groups lost channels; {:.1} % of the parameters ({}) and {:.1} % of the multiply-accumulates \
         ({}) are left",
        output.display(),
        plan.kept.len(),
        structure.groups.len(),
        share(after.parameters, before.parameters),
        after.parameters,
        share(after.macs, before.macs),
        after.macs,
    ))?;
    super::print(match pruned.difference {
        Some(difference) => format!(
            "it computes what the network computes with these channels switched off (largest difference {difference:.1e})"
        ),
        None => {
            "layer normalisation sees fewer numbers now, so its means are others: train it further"
                .into()
        }
    })
}
