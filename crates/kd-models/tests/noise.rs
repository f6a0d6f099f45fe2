//! What networks draw in training follows from the device's seed, and evaluation draws nothing.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig};

/// One test: the generator of a device is the process's.
#[test]
fn dropout_and_stochastic_depth_follow_the_seed_in_training_only() {
    let device = Device::flex().autodiff();
    for (name, draws) in [
        ("mobilenet_v2_224", true),
        ("mobilenet_v3_small_224", true),
        ("efficientnet_b0_224", true),
        ("resnet18_224", false),
        ("mobilenet_v2", false),
    ] {
        draw::seed(1);
        let config = NetworkConfig::new(name, 10, 3).with_image_size(32);
        let network = Network::new(&config, &device).unwrap();
        let images: Vec<f32> = kd_goldens::uniform("input", 4 * 3 * 32 * 32)
            .into_iter()
            .map(|u| u as f32)
            .collect();
        let images = Tensor::<1>::from_floats(images.as_slice(), &device).reshape([4, 3, 32, 32]);
        let run = |seed: u64| {
            device.seed(seed);
            let output = network.forward(images.clone(), &Taps::none());
            output.logits.into_data()
        };
        assert_eq!(run(7), run(7), "{name}");
        assert_eq!(run(7) != run(8), draws, "{name}");
        let evaluated = |seed: u64| {
            device.seed(seed);
            let output = network
                .valid()
                .forward(images.clone().inner(), &Taps::none());
            output.logits.into_data()
        };
        assert_eq!(evaluated(7), evaluated(8), "{name}");
    }
}
