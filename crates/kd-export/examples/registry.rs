//! Exports a network of the registry with weights of its own initialisation, for `cargo xtask verify-export`: `FOLDER`
//! gets `network.onnx`, five images and the logits that the network gives them; standard output gets what is known
//! here as JSON.
//!
//! `cargo run -p kd-export --example registry -- resnet8 32 float32 FOLDER` (or `float16`, or `external` for weights in a file
//! of their own); without arguments it lists the names, each with the
//! size of images that it is made for.

use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kd_core::{Taps, draw};
use kd_export::{Onnx, Options, export_network};
use kd_models::{Backbone, Network, NetworkConfig, models};
use serde_json::json;

type Failed = Box<dyn std::error::Error>;

const IMAGES: usize = 5;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => {
            for model in models() {
                println!("{} {}", model.name, model.image_size);
            }
            Ok(())
        }
        [name, size, form, folder] => {
            let options = match form.as_str() {
                "float32" => Options::default(),
                "float16" => Options {
                    float16: true,
                    ..Options::default()
                },
                // Nearly all weights.
                "external" => Options {
                    external_above: 1024,
                    ..Options::default()
                },
                _ => return Err(format!("{form}: float32, float16 or external").into()),
            };
            export(name, size.parse()?, &options, Path::new(folder))
        }
        _ => Err("which network, how many pixels, in which form, and where to?".into()),
    }
}

fn export(name: &str, size: usize, options: &Options, folder: &Path) -> Result<(), Failed> {
    draw::seed(7);
    let config = NetworkConfig::new(name, 100, 3).with_image_size(size);
    let device = Device::default();
    let network = Network::new(&config, &device)?.map(&mut Moved::default());
    let onnx = export_network(&network, size, options)?;
    let shape = [IMAGES, 3, size, size];
    let images = Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device);
    let logits = floats(network.forward(images.clone(), &Taps::none()).logits);
    let images = floats(images);
    onnx.save(folder.join("network.onnx"))?;
    fs::write(folder.join("images.bin"), bytes(&images))?;
    fs::write(folder.join("logits.bin"), bytes(&logits))?;
    let rten = [1, IMAGES].map(|batch| in_rten(&onnx, &images, &logits, [batch, 3, size, size]));
    let [one, five] = rten;
    let found = json!({
        "family": kd_models::find(name)?.family,
        "nodes": onnx.operations().values().sum::<usize>(),
        "operations": onnx.operations(),
        "weights": onnx.weights(),
        "difference": onnx.difference(),
        "rten": [one?, five?],
        "tensorrt": onnx.tensorrt(),
    });
    println!("{found}");
    Ok(())
}

/// Largest difference of a logit for the first `shape[0]` images.
fn in_rten(onnx: &Onnx, images: &[f32], logits: &[f32], shape: [usize; 4]) -> Result<f32, Failed> {
    let model = rten::Model::load(onnx.bytes())?;
    let images = images[..shape.iter().product()].to_vec();
    let output = model.run_one(rten::Value::from_shape(shape, images)?.into(), None)?;
    let (_, found) = output.into_shape_vec::<f32, 2>()?;
    let pairs = found.iter().zip(logits);
    Ok(pairs
        .map(|(found, wanted)| (found - wanted).abs())
        .fold(0.0, f32::max))
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data: TensorData = tensor.into_data();
    data.iter().collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Moves every parameter and running statistic away from what it starts with, so that none of them could be left out
/// unseen, and keeps the logits of deep networks near 1: factors of normalisations are about a half.
#[derive(Default)]
struct Moved {
    path: Vec<String>,
}

impl ModuleMapper for Moved {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let noise = |from, to| {
            let between = Distribution::Uniform(from, to);
            Tensor::random(tensor.dims(), between, &tensor.device())
        };
        let name = self.path.last().map(String::as_str);
        let moved = match name {
            Some("gamma") => noise(0.4, 0.6) * tensor,
            Some("beta" | "bias" | "running_mean") => noise(-0.1, 0.1) + tensor,
            Some("running_var") => noise(0.8, 1.2) * tensor,
            _ => noise(0.98, 1.02) * tensor,
        };
        Param::from_mapped_value(id, moved, mapper)
    }
}
