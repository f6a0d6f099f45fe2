//! Exported files in a runtime that shares no code with the exporter.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod detectors;
mod file;
mod networks;
mod own;
mod precision;
mod refused;
mod tensorrt;
mod text;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor, TensorData};
use kd_core::draw;
use kd_export::Onnx;
use kd_models::{Network, NetworkConfig};

/// A network whose every parameter and running statistic differs from what it starts with.
fn network(name: &str, size: usize) -> Network {
    draw::seed(11);
    let config = NetworkConfig::new(name, 10, 3).with_image_size(size);
    let network = Network::new(&config, &Device::flex()).unwrap();
    network.map(&mut Moved)
}

/// Moves everything a little.
struct Moved;

impl ModuleMapper for Moved {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        let noise = Distribution::Uniform(-0.03, 0.03);
        let noise = Tensor::random(tensor.dims(), noise, &tensor.device());
        Param::from_mapped_value(id, tensor + noise, mapper)
    }
}

/// Images of a formula.
fn images(shape: [usize; 4]) -> Vec<f32> {
    let count = shape.iter().product::<usize>() as u32;
    (0..count)
        .map(|i| (i as f32 * 0.731).sin() + (i % 7) as f32 * 0.1)
        .collect()
}

fn tensor(values: &[f32], shape: [usize; 4]) -> Tensor<4> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
}

/// What rten makes of a file: values, and their shape.
fn rten(onnx: &Onnx, values: &[f32], shape: [usize; 4]) -> (Vec<f32>, [usize; 2]) {
    rten_of(onnx, values, shape)
}

/// As [`rten`], of an output of any rank.
fn rten_of<const N: usize>(
    onnx: &Onnx,
    values: &[f32],
    shape: [usize; 4],
) -> (Vec<f32>, [usize; N]) {
    let model = rten::Model::load(onnx.bytes()).unwrap();
    let input = rten::Value::from_shape(shape, values.to_vec()).unwrap();
    let output = model.run_one(input.into(), None).unwrap();
    let (shape, values) = output.into_shape_vec::<f32, N>().unwrap();
    (values, shape)
}

/// Compares two lists of logits.
#[track_caller]
fn near(name: &str, found: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(found.len(), wanted.len(), "{name}");
    for (found, wanted) in found.iter().zip(wanted) {
        let difference = (found - wanted).abs();
        assert!(difference <= tolerance, "{name}: {found}, not {wanted}");
    }
}
