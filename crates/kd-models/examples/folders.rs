//! Writes a network with weights of a formula as each folder that it can be exported as, with images and the logits
//! that it gives for them. Without arguments it lists the networks.
//!
//! ```sh
//! cargo run -p kd-models --example folders -- resnet18_224 out
//! ```
//!
//! `cargo xtask verify-folders` loads the folders in the programs that they are for.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_goldens::{uniform, write_weights};
use kd_models::{Backbone, FolderFormat, Network, NetworkConfig, WeightsHeader, models};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

const CLASSES: usize = 10;
const BATCH: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => models().iter().for_each(|model| println!("{}", model.name)),
        [model, folder] => write(model, Path::new(folder))?,
        _ => return Err("give a network and a folder, or nothing".into()),
    }
    Ok(())
}

/// Height and width of the images: small, as far as patches allow it.
fn size(model: &str) -> usize {
    match model {
        "vit_small_patch14_dinov2" => 56,
        _ if model.ends_with("_224") => 64,
        _ => 32,
    }
}

fn write(model: &str, folder: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(folder)?;
    let size = size(model);
    let device = Device::default();
    let config = NetworkConfig::new(model, CLASSES, 3).with_image_size(size);
    let weights = folder.join("weights.safetensors");
    Network::new(&config, &device)?.save(&weights, &[])?;
    let bytes = std::fs::read(&weights)?;
    let shapes = SafeTensors::deserialize(&bytes)?;
    let shapes = shapes.iter();
    let shapes: BTreeMap<String, Vec<usize>> = shapes
        .map(|(name, tensor)| (name.to_owned(), tensor.shape().to_vec()))
        .collect();
    drop(bytes);
    write_weights(&weights, "folders.", &shapes);
    let network = Network::from_file(&config, &weights, &device)?;
    std::fs::remove_file(&weights)?;

    let images = uniform("folders.images", BATCH * 3 * size * size);
    let images: Vec<f32> = images.into_iter().map(|u| 1.5 * u as f32).collect();
    let input = Tensor::<1>::from_floats(images.as_slice(), &device);
    let output = network.forward(input.reshape([BATCH, 3, size, size]), &Taps::none());
    let logits: Vec<f32> = output.logits.into_data().iter().collect();
    let bytes = [&images, &logits].map(|values| -> Vec<u8> {
        let values = values.iter();
        values.flat_map(|value| value.to_le_bytes()).collect()
    });
    let images = TensorView::new(Dtype::F32, vec![BATCH, 3, size, size], &bytes[0])?;
    let logits = TensorView::new(Dtype::F32, vec![BATCH, CLASSES], &bytes[1])?;
    let expected = folder.join("expected.safetensors");
    safetensors::serialize_to_file([("images", images), ("logits", logits)], None, &expected)?;

    let mut header = WeightsHeader::default();
    header.mean = Some(vec![0.49, 0.48, 0.45]);
    header.std = Some(vec![0.25, 0.24, 0.26]);
    header.crop = Some(0.875);
    let names = (0..CLASSES).map(|label| format!("class {label}"));
    header.class_names = Some(names.collect());
    let formats = network.folder_formats().into_iter();
    for format in formats.filter(|format| *format != FolderFormat::Safetensors) {
        network.export(folder.join(format.name()), format, &header)?;
    }
    Ok(())
}
