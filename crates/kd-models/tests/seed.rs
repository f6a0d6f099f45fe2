//! Initialisation follows from the seed.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::tensor::{Device, Tensor};
use kd_core::{Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig};

#[test]
fn the_same_seed_draws_the_same_network() {
    let device = Device::flex();
    let config = NetworkConfig::new("wrn_16_1", 10, 3);
    let input = Tensor::<4>::ones([1, 3, 32, 32], &device);
    let mut logits = (0..2).map(|_| {
        draw::seed(5);
        let network = Network::new(&config, &device).unwrap();
        network
            .forward(input.clone(), &Taps::none())
            .logits
            .into_data()
    });
    let [first, second] = [logits.next(), logits.next()];
    assert_eq!(first, second);
    draw::seed(6);
    let other = Network::new(&config, &device).unwrap();
    let other = other.forward(input.clone(), &Taps::none()).logits;
    assert_ne!(first, Some(other.into_data()));
}
