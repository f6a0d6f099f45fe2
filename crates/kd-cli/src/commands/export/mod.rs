//! `kd export`.

mod folder;
mod onnx;
mod source;

use anyhow::Result;
use clap::Args;

/// Write a trained network as other programs load it
#[derive(Args)]
#[command(after_help = "\
Examples:
  kd export runs/quickstart --onnx student.onnx
  kd export runs/quickstart --onnx student.onnx --normalise --softmax
  kd export --model resnet20_a --weights resnet20.th --classes 10 --onnx resnet20.onnx --float16
  kd export runs/quickstart --onnx student.onnx --check tensorrt
  kd export runs/detector --onnx student.onnx --nms
  kd export runs/quickstart --format safetensors --out student
  kd export --model resnet18_224 --weights resnet18.safetensors --format hf --out resnet18-hf
  kd export --weights hf://timm/resnet18.a1_in1k --format torchvision --out resnet18

The book's pages on export say how other programs load what is written.")]
pub struct Arguments {
    #[command(flatten)]
    source: source::Arguments,
    #[command(flatten)]
    onnx: onnx::Arguments,
    #[command(flatten)]
    folder: folder::Arguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments {
        source,
        onnx,
        folder,
    } = arguments;
    if let Some(file) = &onnx.onnx {
        onnx::run(source, onnx, file)?;
    }
    if let (Some(format), Some(out)) = (folder.format, &folder.out) {
        folder::run(source, format, out)?;
    }
    Ok(())
}
