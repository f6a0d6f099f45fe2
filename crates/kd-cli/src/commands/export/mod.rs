//! `kd export`.

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

The book's page on export says how ONNX Runtime, OpenVINO, TensorRT and rten load the file.")]
pub struct Arguments {
    #[command(flatten)]
    source: source::Arguments,
    #[command(flatten)]
    onnx: onnx::Arguments,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Result<()> {
    onnx::run(&arguments.source, &arguments.onnx)
}
