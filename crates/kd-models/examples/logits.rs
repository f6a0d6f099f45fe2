//! The logits of a network for images in a safetensors file.
//!
//! ```sh
//! cargo run -p kd-models --features keras --example logits -- resnet50_224 resnet50.keras images.safetensors out.safetensors
//! ```
//!
//! `images` is `[batch, channels, size, size]`; the number of classes is that of the tensor `logits` beside it.
//! `cargo xtask verify-keras` compares them with those that Keras gives.

use std::error::Error;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_models::{Backbone, Network, NetworkConfig};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, weights, images, out] = &arguments[..] else {
        return Err("give a network, its weights, a file of images and one to write".into());
    };
    let bytes = std::fs::read(images)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let images = file.tensor("images")?;
    let shape: [usize; 4] = images.shape().try_into()?;
    let classes = *file.tensor("logits")?.shape().last().ok_or("no classes")?;
    let values = images.data().as_chunks::<4>().0.iter();
    let values: Vec<f32> = values.map(|bytes| f32::from_le_bytes(*bytes)).collect();

    let device = Device::default();
    let [_, channels, size, _] = shape;
    let config = NetworkConfig::new(model, classes, channels).with_image_size(size);
    let network = Network::from_file(&config, weights, &device)?;
    let input = Tensor::<1>::from_floats(values.as_slice(), &device).reshape(shape);
    let logits = network.forward(input, &Taps::none()).logits;
    let shape = logits.dims().to_vec();
    let values: Vec<f32> = logits.into_data().iter().collect();
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, shape, &bytes)?;
    safetensors::serialize_to_file([("logits", view)], None, Path::new(out))?;
    Ok(())
}
