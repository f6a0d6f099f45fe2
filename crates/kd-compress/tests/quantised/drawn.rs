//! Networks and images that are drawn, and how far answers are apart.

use burn::tensor::{Device, Distribution, Tensor};
use kd_models::{Network, NetworkConfig};

pub fn network(model: &str, size: usize) -> Network {
    kd_core::draw::seed(1);
    let config = NetworkConfig::new(model, 10, 3).with_image_size(size);
    Network::new(&config, &Device::flex()).expect("a network")
}

pub fn images(count: usize, size: usize) -> Tensor<4> {
    let shape = [count, 3, size, size];
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &Device::flex())
}

/// As a share of the other's size.
pub fn difference(one: &[f32], other: &[f32]) -> f32 {
    let pairs = one.iter().zip(other);
    let sum = pairs.map(|(a, b)| (a - b).abs()).sum::<f32>();
    sum / other.iter().map(|value| value.abs()).sum::<f32>()
}
