//! `kd models`.

use anyhow::Result;
use clap::{Args, builder::RangedU64ValueParser};
use kd_models::detection::DETECTORS;
use kd_models::{Cost, Error, ModelInfo, NetworkConfig, cost, find, models, stride};

use crate::{
    format::{bytes, count},
    table::table,
};

/// List the networks a recipe can name, or tell one, with what each costs
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd models                          the list, each for images of its own size
  kd models resnet8x4                one of them
  kd models --classes 1000           as ImageNet has them
  kd models --classes 10 --channels 1 --size 28

Names that end in _224 are the networks for images of ImageNet's size, as torchvision has
them; torchvision's weights fit them. Other names are the networks for small images of the
literature of distillation.")]
pub struct Arguments {
    /// Name of a network.
    name: Option<String>,
    /// Classes to count parameters for.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000_000))]
    classes: usize,
    /// Channels of an image.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1024))]
    channels: usize,
    /// Height and width of an image [default: what each network is made for].
    #[arg(long, value_name = "PIXELS", value_parser = RangedU64ValueParser::<usize>::new().range(1..=4096))]
    size: Option<usize>,
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
    let header = [
        "name",
        "image",
        "stride",
        "parameters",
        "MACs",
        "size",
        "family",
        "reference",
    ];
    let detectors = DETECTORS.iter();
    let detectors =
        detectors.map(|(name, size, what)| [*name, &size.to_string(), *what].map(String::from));
    super::print(format_args!(
        "{}\n\nfor {}\n\nin recipes with [detection]:\n\n{}",
        table(header, 1..6, rows),
        what_for(arguments, arguments.size),
        table(["name", "image", "what it is"], 1..2, detectors)
    ))
}

fn row(model: &ModelInfo, arguments: &Arguments) -> Result<[String; 8]> {
    let size = arguments.size.unwrap_or(model.image_size);
    let figures = match Figures::of(model, arguments) {
        Ok(figures) => figures.listed(),
        // Of an image that its strides shrink to nothing.
        Err(Error::Config { key: "size", .. }) => ["too small", "-", "-", "-"].map(String::from),
        Err(problem) => return Err(problem.into()),
    };
    let [stride, parameters, macs, bytes] = figures;
    Ok([
        model.name.into(),
        size.to_string(),
        stride,
        parameters,
        macs,
        bytes,
        model.family.into(),
        model.reference.into(),
    ])
}

fn in_full(model: &ModelInfo, arguments: &Arguments) -> Result<String> {
    let Figures { stride, cost } = Figures::of(model, arguments)?;
    let mut text = format!("{}, {}, {}\n", model.name, model.family, model.reference);
    if !model.aliases.is_empty() {
        text.push_str(&format!("  also called  {}\n", model.aliases.join(", ")));
    }
    let made_for = model.image_size;
    text.push_str(&format!(
        "  made for     images of {made_for}x{made_for}; divides height and width by {stride}\n  \
         parameters   {}\n  MACs         {} (convolutions and linear layers, one image)\n  \
         size         {} (safetensors, f32)\nfor {}",
        cost.parameters,
        cost.macs,
        bytes(cost.bytes),
        what_for(arguments, Some(arguments.size.unwrap_or(made_for)))
    ));
    Ok(text)
}

/// What a network does to an image, and what it costs.
struct Figures {
    stride: usize,
    cost: Cost,
}

impl Figures {
    fn of(model: &ModelInfo, arguments: &Arguments) -> Result<Self, Error> {
        let size = arguments.size.unwrap_or(model.image_size);
        let config = NetworkConfig::new(model.name, arguments.classes, arguments.channels);
        let config = config.with_image_size(size);
        Ok(Self {
            stride: stride(&config)?,
            cost: cost(&config, size)?,
        })
    }

    fn listed(self) -> [String; 4] {
        let Self { stride, cost } = self;
        [
            stride.to_string(),
            count(cost.parameters),
            count(cost.macs),
            bytes(cost.bytes),
        ]
    }
}

fn what_for(arguments: &Arguments, size: Option<usize>) -> String {
    let Arguments {
        classes, channels, ..
    } = arguments;
    match size {
        Some(size) => format!("{classes} classes and images of {channels}x{size}x{size}"),
        None => format!(
            "{classes} classes and images of {channels} channels, each of the size that it is made for"
        ),
    }
}
