//! `kd convert`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use kd_models::{Network, NetworkConfig, WeightsHeader};

use crate::failure::BadInput;

/// Write the weights of a PyTorch file as safetensors, checked against the network
#[derive(Args)]
#[command(after_help = "Example:
  kd convert resnet56.pth resnet56.safetensors --model resnet56 --classes 100
  kd convert both.pth student.safetensors --model resnet20 --classes 10 --prefix student")]
pub struct Arguments {
    /// Weights to read: a file of PyTorch or safetensors, whatever its name.
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
    /// What stands before the network's names in a file of several networks, such as `teacher`.
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,
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
    let network = match &arguments.prefix {
        Some(prefix) => Network::from_file_behind(&config, &arguments.input, prefix, &device)?,
        None => Network::from_file(&config, &arguments.input, &device)?,
    };
    let model = network.config().model.clone();
    let mut header = WeightsHeader::read(&arguments.input)?;
    header.model = Some(model);
    header.classes = Some(arguments.classes);
    header.channels = Some(arguments.channels);
    network.save(output, &header.entries())?;
    super::print(output.display())
}
