//! A network of one's own becomes an ONNX file: no line of the exporter knows it.
//!
//! `cargo run -p kd-export --example own_backbone -- own.onnx`

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_export::{Options, export_backbone};
use kd_models::Backbone;

/// Two convolutions with a gate, and a classifier.
#[derive(Module, Debug)]
struct Own {
    stem: Conv2d,
    norm: BatchNorm,
    gate: Conv2d,
    classifier: Linear,
}

impl Own {
    fn new(device: &Device) -> Self {
        let stem = Conv2dConfig::new([3, 16], [3, 3])
            .with_stride([2, 2])
            .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1));
        Self {
            stem: stem.init(device),
            norm: BatchNormConfig::new(16).init(device),
            gate: Conv2dConfig::new([16, 16], [1, 1]).init(device),
            classifier: LinearConfig::new(16, 10).init(device),
        }
    }
}

impl Backbone for Own {
    type Input = Tensor<4>;

    fn forward(&self, images: Tensor<4>, taps: &Taps) -> Output {
        let map = relu(self.norm.forward(self.stem.forward(images)));
        let map = map.clone() * sigmoid(self.gate.forward(map));
        let embedding: Tensor<2> = map.clone().mean_dim(3).mean_dim(2).flatten(1, 3);
        let mut output = Output::new(self.classifier.forward(embedding.clone()));
        output.push(Part::Maps, &map, taps);
        output.push(Part::Embedding, &embedding, taps);
        output
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "own.onnx".into());
    let network = Own::new(&Device::default());
    let onnx = export_backbone(&network, [3, 32, 32], &Options::default())?;
    onnx.save(&file)?;
    println!(
        "{file}: {:?}, {:e} from the network",
        onnx.operations(),
        onnx.difference()
    );
    Ok(())
}
