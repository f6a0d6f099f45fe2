//! `kd eval --int8`: what a network on grids is worth with integers.

use anyhow::{Context, Result};
use burn::tensor::{Device, Tensor, TensorData};
use kd_compress::integer::IntegerNetwork;
use kd_models::{Network, WeightsHeader};
use kd_train::{EvalOptions, EvalResult, Observer, evaluate_by};

use super::{network_of, unsaid};
use crate::failure::BadInput;

/// Measures the weights with integers.
pub fn run(
    options: &EvalOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<EvalResult> {
    let header = WeightsHeader::read(&options.weights)?;
    let config = network_of(&header).ok_or_else(|| BadInput(unsaid(&options.weights, &header)))?;
    let network = Network::from_file(&config, &options.weights, device)?;
    if network.grids().is_none() {
        return Err(BadInput(format!(
            "--int8: the network of {} computes with floats; `kd quantise`, or `quantise = {{}}` in a recipe, puts it on \
             integer grids",
            options.weights.display()
        ))
        .into());
    }
    let size = options.data.size.map_or_else(|| config.image_size(), Ok)?;
    let bad =
        |problem: kd_compress::Error| BadInput(format!("{}: {problem}", options.weights.display()));
    let integers = IntegerNetwork::new(&network, size).map_err(bad)?;
    let answer = |images: &[f32], shape: [usize; 4]| {
        let images = Tensor::from_data(TensorData::new(images.to_vec(), shape), device);
        let logits = integers.logits(images)?;
        Ok::<_, kd_compress::Error>(logits.into_data().iter().collect())
    };
    let found = evaluate_by(options, answer, observer)?;
    found.context("run the network with integers")
}
