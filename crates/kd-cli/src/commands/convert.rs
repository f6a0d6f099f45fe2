//! `kd convert`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_models::{Network, NetworkConfig};

use crate::failure::BadInput;

/// Write the weights of a PyTorch file as safetensors, checked against the network
#[derive(Args)]
#[command(after_help = "Example:
  kd convert resnet56.pth resnet56.safetensors --model resnet56 --classes 100")]
pub struct Arguments {
    /// Weights to read: .pth, .pt, .th or .safetensors.
    input: PathBuf,
    /// File to write; it must not exist yet.
    output: PathBuf,
    /// Name of the network (`kd models` lists them).
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Classes that it tells apart.
    #[arg(long, value_name = "N")]
    classes: usize,
    /// Channels of its images.
    #[arg(long, value_name = "N", default_value_t = 3)]
    channels: usize,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    if output.extension().is_none_or(|e| e != "safetensors") {
        let problem = format!(
            "{}: the output must be named *.safetensors",
            output.display()
        );
        return Err(BadInput(problem).into());
    }
    if output.exists() {
        let problem = format!("{}: already exists; name another file", output.display());
        return Err(BadInput(problem).into());
    }
    let config = NetworkConfig::new(&arguments.model, arguments.classes, arguments.channels);
    let device = crate::device::preferred()?.open()?;
    let network = Network::from_file(&config, &arguments.input, &device)?;
    let model = network.config().model.clone();
    network.save(output, &[("model".into(), model)])?;
    super::print(output.display())
}
