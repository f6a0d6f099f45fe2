//! Networks that keep what they made of their weights.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor};
use kd_core::{Output, Taps, draw};
use kd_kernels::PreparedWeights;
use kd_models::{Backbone, Network, NetworkConfig, cost, models};

fn config(name: &str) -> NetworkConfig {
    NetworkConfig::new(name, 10, 3).with_image_size(32)
}

/// The smallest network of every family, for images of 32×32, or of 28×28 where patches are of 14.
fn smallest() -> Vec<NetworkConfig> {
    let mut families: BTreeMap<&str, (u64, NetworkConfig)> = BTreeMap::new();
    for model in models() {
        let sizes = [32, 28].map(|size| config(model.name).with_image_size(size));
        let fits = |config: &NetworkConfig| cost(config, config.image_size().unwrap()).ok();
        let found = sizes
            .into_iter()
            .find_map(|c| Some((fits(&c)?.parameters, c)));
        let (parameters, config) = found.unwrap_or_else(|| panic!("no size for {}", model.name));
        let least = families.entry(model.family);
        let least = least.or_insert((parameters, config.clone()));
        if parameters < least.0 {
            *least = (parameters, config);
        }
    }
    families.into_values().map(|(_, config)| config).collect()
}

/// A network whose running statistics are those of some batches.
fn network(config: &NetworkConfig) -> Network {
    draw::seed(3);
    let device = Device::flex().autodiff();
    let network = Network::new(config, &device).unwrap();
    train(&network);
    network
}

fn train(network: &Network) {
    let size = network.config().image_size().unwrap();
    let images = images(4, size, &Device::flex().autodiff());
    network.forward(images, &Taps::none());
}

fn images(batch: usize, size: usize, device: &Device) -> Tensor<4> {
    Tensor::random([batch, 3, size, size], Distribution::Default, device)
}

fn numbers(output: &Output) -> Vec<f32> {
    let mut numbers: Vec<f32> = output.logits.clone().into_data().iter().collect();
    for level in 0..output.levels(kd_core::Part::Maps) {
        if let Ok(map) = output.map(level) {
            numbers.extend(map.clone().into_data().iter::<f32>());
        }
    }
    assert!(numbers.iter().all(|value| value.is_finite()));
    numbers
}

#[test]
fn every_family_gives_the_same_bits() {
    let device = Device::flex();
    let families = smallest();
    assert!(families.len() >= 8, "{families:?}");
    for config in families {
        let plain = network(&config).valid();
        let prepared = plain.prepare();
        // With 9 images and several threads, parts of the batch are computed side by side.
        for batch in [1, 3, 9] {
            let x = images(batch, config.image_size().unwrap(), &device);
            for taps in [Taps::none(), Taps::all()] {
                let want = numbers(&plain.forward(x.clone(), &taps));
                for _ in 0..2 {
                    let found = numbers(&prepared.forward(x.clone(), &taps));
                    assert_eq!(found, want, "{} of {batch}", config.model);
                }
            }
        }
        println!("{}: {} bytes", config.model, prepared.bytes());
    }
}

/// Moves every parameter a little, as an optimiser does, which may do it in place.
struct Move;

impl ModuleMapper for Move {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|values| values.mul_scalar(1.01))
    }
}

#[test]
fn what_was_made_does_not_outlive_a_change_of_parameters_or_running_statistics() {
    let device = Device::flex();
    let x = images(2, 32, &device);
    for name in ["resnet8", "shufflenet_v2", "vgg8", "mobilenet_v2"] {
        let kept = PreparedWeights::new();
        let student = network(&config(name));
        let mut plain = student.valid();
        let mut last = numbers(&kept.run(|| plain.forward(x.clone(), &Taps::none())));
        for step in 0..4 {
            if step % 2 == 0 {
                plain = plain.map(&mut Move);
            } else {
                // The statistics of a clone are those of the original.
                train(&student);
                plain = student.valid();
            }
            let want = numbers(&plain.forward(x.clone(), &Taps::none()));
            assert_ne!(want, last, "{name}, {step}");
            let found = numbers(&kept.run(|| plain.forward(x.clone(), &Taps::none())));
            assert_eq!(found, want, "{name}, {step}");
            last = want;
        }
    }
}

#[test]
fn training_does_not_reach_a_prepared_network() {
    let student = network(&config("resnet8"));
    let prepared = student.prepare();
    let x = images(1, 32, &Device::flex());
    let before = numbers(&prepared.forward(x.clone(), &Taps::none()));
    train(&student);
    assert_ne!(
        numbers(&student.valid().forward(x.clone(), &Taps::none())),
        before
    );
    // An image on the device of training will do as well.
    let lifted = Tensor::from_inner(x);
    assert_eq!(numbers(&prepared.forward(lifted, &Taps::none())), before);
}
