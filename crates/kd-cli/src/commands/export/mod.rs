//! `kd export`.

mod folder;

use anyhow::Result;
use clap::Args;

/// Write a trained network as other programs load it
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd export runs/quickstart --format safetensors --out student
  kd export --model resnet18_224 --weights resnet18.safetensors --format hf --out resnet18-hf
  kd export --weights hf://timm/resnet18.a1_in1k --format torchvision --out resnet18")]
pub struct Arguments {
    #[command(flatten)]
    folder: folder::FolderArguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    folder::run(&arguments.folder)
}
