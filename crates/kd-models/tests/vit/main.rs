//! Vision transformers: the names of every program, positions of another size, two heads, dropping.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod inside;
mod names;
mod tensors;

use burn::tensor::{Device, Tensor};
use kd_core::{Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig, VitConfig};

const SHAPE: VitConfig = VitConfig::new(8, 48, 3, 4);

fn config() -> NetworkConfig {
    NetworkConfig::new("vit", 10, 3)
}

fn network(shape: &VitConfig, device: &Device) -> Network {
    draw::seed(5);
    Network::vit(shape, &config(), device).unwrap()
}

fn images(size: usize, device: &Device) -> Tensor<4> {
    let values = kd_goldens::uniform("images", 2 * 3 * size * size).into_iter();
    let values: Vec<f32> = values.map(|v| v as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape([2, 3, size, size])
}

fn logits(network: &Network) -> Vec<f32> {
    let output = network.forward(images(32, &Device::flex()), &Taps::none());
    output.logits.into_data().iter().collect()
}

fn close(one: &[f32], other: &[f32], within: f32) {
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(other) {
        assert!((one - other).abs() <= within, "{one} {other}");
    }
}
