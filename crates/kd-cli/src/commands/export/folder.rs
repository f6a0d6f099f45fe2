//! `kd export --format`: a folder for another program.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_models::{FolderFormat, Network, NetworkConfig, WeightsHeader};
use kd_train::{EvalOptions, fetch_weights};

use crate::failure::BadInput;
use crate::{interrupt::Interrupt, progress::Watch};

#[derive(Args)]
pub struct FolderArguments {
    /// Folder of a run, whose student is exported.
    #[arg(value_name = "RUN", required_unless_present = "weights")]
    run: Option<PathBuf>,
    /// Name of the network (`kd models` lists them) [default: the run's student, else as the weights say].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Its weights: a file, a folder of the Hugging Face hub or of timm, or hf://organisation/name [default: the
    /// run's student].
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// The program that is to load the folder: hf (transformers), timm, torchvision, or safetensors for one with
    /// PyTorch's names.
    #[arg(long, value_parser = format)]
    format: FolderFormat,
    /// Folder to write; it must not exist yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Classes that it tells apart [default: as the weights say].
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Channels of its images [default: as the weights say, else 3].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// Height and width of its images [default: as the weights say, else what the network is made for].
    #[arg(long, value_name = "PIXELS")]
    size: Option<usize>,
    /// Mean of each channel that images are normalised with, such as 0.485,0.456,0.406 [default: as the weights
    /// say].
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "std")]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, likewise.
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',', requires = "mean")]
    std: Option<Vec<f32>>,
}

fn format(name: &str) -> Result<FolderFormat, String> {
    let names = FolderFormat::ALL.map(FolderFormat::name).join(", ");
    FolderFormat::named(name).ok_or_else(|| format!("there are {names}"))
}

/// Writes the folder.
pub fn run(arguments: &FolderArguments) -> Result<()> {
    if arguments.out.exists() {
        let problem = format!(
            "{}: already exists; name another folder",
            arguments.out.display()
        );
        return Err(BadInput(problem).into());
    }
    let device = crate::device::preferred()?.open()?;
    let (weights, model) = match (&arguments.run, &arguments.weights) {
        (Some(run), weights) => {
            let options = EvalOptions::of_run(run, weights.as_deref())?;
            (options.weights, Some(options.model))
        }
        (None, weights) => (weights.clone().unwrap_or_default(), None),
    };
    // Nothing is half written when Ctrl-C ends this.
    let weights = fetch_weights(&weights, &mut Watch::new(false, Interrupt::default()))?;
    let mut header = WeightsHeader::read(&weights)?;
    let named = arguments.model.clone().or(model);
    let config = config(arguments, named, &weights, &header)?;
    let network = Network::from_file(&config, &weights, &device)?;
    if let (Some(mean), Some(std)) = (&arguments.mean, &arguments.std) {
        (header.mean, header.std) = (Some(mean.clone()), Some(std.clone()));
    }
    network.export(&arguments.out, arguments.format, &header)?;
    super::super::print(arguments.out.display())
}

/// What the network is built for, by the options, else by the weights.
fn config(
    arguments: &FolderArguments,
    named: Option<String>,
    weights: &Path,
    header: &WeightsHeader,
) -> Result<NetworkConfig> {
    let model = named.or_else(|| header.model.clone());
    let (Some(model), Some(classes)) = (model, arguments.classes.or(header.classes)) else {
        return Err(BadInput(super::super::unsaid(weights, header)).into());
    };
    let channels = arguments.channels.or(header.channels).unwrap_or(3);
    let config = NetworkConfig::new(model, classes, channels);
    Ok(match arguments.size.or(header.size) {
        Some(size) => config.with_image_size(size),
        None => config,
    })
}
