//! `kd convert`.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use kd_models::{Network, WeightsHeader};
use kd_train::fetch_weights;

use crate::failure::BadInput;
use crate::{interrupt::Interrupt, progress::Watch};

/// Write weights as safetensors, checked against the network
#[derive(Args)]
#[command(after_help = "Example:
  kd convert resnet56.pth resnet56.safetensors --model resnet56 --classes 100
  kd convert both.pth student.safetensors --model resnet20 --classes 10 --prefix student
  kd convert hf://timm/resnet18.a1_in1k resnet18.safetensors")]
pub struct Arguments {
    /// Weights to read: a file of PyTorch or safetensors, whatever its name, a folder of the Hugging Face hub or
    /// of timm, or an address of the hub (hf://organisation/name@revision/file).
    input: PathBuf,
    /// File to write; it must not exist yet.
    output: PathBuf,
    /// Name of the network (`kd models` lists them) [default: as the weights say].
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Classes that it tells apart [default: as the weights say].
    #[arg(long, value_name = "N")]
    classes: Option<usize>,
    /// Channels of its images [default: as the weights say, else 3].
    #[arg(long, value_name = "N")]
    channels: Option<usize>,
    /// What stands before the network's names in a file of several networks, such as `teacher`.
    #[arg(long, value_name = "NAME")]
    prefix: Option<String>,
}

/// Refuses a file to write that exists, or that is not named as safetensors.
pub fn check_output(output: &Path) -> Result<()> {
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
    Ok(())
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let output = &arguments.output;
    check_output(output)?;
    let device = crate::device::preferred()?.open()?;
    // Nothing is half written when Ctrl-C ends this.
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
    let network = match &arguments.prefix {
        Some(prefix) => Network::from_file_behind(&config, &input, prefix, &device)?,
        None => Network::from_file(&config, &input, &device)?,
    };
    header.model = Some(network.config().model.clone());
    network.save(output, &header.entries())?;
    super::print(output.display())
}
