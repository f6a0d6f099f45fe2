//! `kd models`.

use anyhow::Result;
use clap::{Args, builder::RangedU64ValueParser};
use kd_models::{ModelInfo, NetworkConfig, cost, find, models};

use crate::{
    format::{bytes, count},
    table::table,
};

/// List the networks a recipe can name, or tell one, with what each costs
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd models                          the list, for CIFAR-100
  kd models resnet8x4                one of them
  kd models --classes 10 --channels 1 --size 28")]
pub struct Arguments {
    /// Name of a network.
    name: Option<String>,
    /// Classes to count parameters for.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    classes: usize,
    /// Channels of an image.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    channels: usize,
    /// Height and width of an image.
    #[arg(long, value_name = "PIXELS", default_value_t = 32, value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    size: usize,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    if let Some(name) = &arguments.name {
        return super::print(in_full(find(name)?, arguments)?);
    }
    let rows = models()
        .iter()
        .map(|model| row(model, arguments))
        .collect::<Result<Vec<_>>>()?;
    let header = ["name", "parameters", "MACs", "size", "family", "reference"];
    super::print(format_args!(
        "{}\n\nfor {}",
        table(header, 1..4, rows),
        what_for(arguments)
    ))
}

fn row(model: &ModelInfo, arguments: &Arguments) -> Result<[String; 6]> {
    let cost = cost(&config(model, arguments), arguments.size)?;
    Ok([
        model.name.into(),
        count(cost.parameters),
        count(cost.macs),
        bytes(cost.bytes),
        model.family.into(),
        model.reference.into(),
    ])
}

fn in_full(model: &ModelInfo, arguments: &Arguments) -> Result<String> {
    let cost = cost(&config(model, arguments), arguments.size)?;
    let mut text = format!("{}, {}, {}\n", model.name, model.family, model.reference);
    if !model.aliases.is_empty() {
        text.push_str(&format!("  also called  {}\n", model.aliases.join(", ")));
    }
    text.push_str(&format!(
        "  parameters   {}\n  MACs         {} (convolutions and linear layers, one image)\n  \
         size         {} (safetensors, f32)\nfor {}",
        cost.parameters,
        cost.macs,
        bytes(cost.bytes),
        what_for(arguments)
    ));
    Ok(text)
}

fn config(model: &ModelInfo, arguments: &Arguments) -> NetworkConfig {
    NetworkConfig::new(model.name, arguments.classes, arguments.channels)
}

fn what_for(arguments: &Arguments) -> String {
    let Arguments {
        classes,
        channels,
        size,
        ..
    } = arguments;
    format!("{classes} classes and images of {channels}x{size}x{size}")
}
