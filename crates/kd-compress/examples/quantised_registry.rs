//! Exports a network of the registry on integer grids, for `cargo xtask verify-export --quantised`: `FOLDER` gets
//! `network.onnx`, images, the logits that the network gives them on its grids, those with floats, and those on grids of weights that
//! are a millionth larger; with the feature `flex` those of 8-bit integers from end to end, too, for networks that there are
//! integers for; standard output gets what is known here as JSON.
//!
//! `cargo run -p kd-compress --example quantised_registry -- resnet8 32 u8 FOLDER`. Forms: `u8` (inputs without a sign),
//! `u8w7` (weights of 7 bits beside), `s8` (inputs with a sign).

use std::fs;
use std::path::Path;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Distribution, Tensor};
use kd_compress::prune::recalibrated;
use kd_compress::quantise::QuantiseConfig;
use kd_core::{Taps, draw};
use kd_export::{Options, export_network};
use kd_models::{Backbone, Input, Network, NetworkConfig};
use serde_json::json;

type Failed = Box<dyn std::error::Error>;

const IMAGES: usize = 16;

fn main() -> Result<(), Failed> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [name, size, form, folder] => export(name, size.parse()?, form, Path::new(folder)),
        _ => Err("which network, how many pixels, in which form, and where to?".into()),
    }
}

fn export(name: &str, size: usize, form: &str, folder: &Path) -> Result<(), Failed> {
    let (weights, symmetric) = match form {
        "u8" => (8, false),
        "u8w7" => (7, false),
        "s8" => (8, true),
        _ => return Err(format!("{form}: u8, u8w7 or s8").into()),
    };
    draw::seed(7);
    let device = Device::default();
    let config = NetworkConfig::new(name, 100, 3).with_image_size(size);
    let drawn = Network::new(&config, &device)?;
    let images = |count: usize| {
        let shape = [count, 3, size, size];
        Tensor::<4>::random(shape, Distribution::Normal(0.0, 1.0), &device)
    };
    let seen = images(64);
    let names = |path: &str| path.to_owned();
    // Statistics that are those of the images, as training leaves them.
    let float = recalibrated(&drawn, 1, &names, |network: &Network, _, _| {
        network.forward(seen.clone().lift(), &Taps::none());
    })?;
    let quantise = QuantiseConfig {
        weights,
        symmetric,
        images: 64,
        ..QuantiseConfig::default()
    };
    let coarse = match quantise.quantise(&float, [seen]) {
        Ok(coarse) => coarse,
        // Transformers have none.
        Err(kd_compress::Error::Quantise { problem }) => {
            println!("{}", json!({ "refused": problem }));
            return Ok(());
        }
        Err(problem) => return Err(problem.into()),
    };
    let onnx = export_network(&coarse, size, &Options::default())?;
    onnx.save(folder.join("network.onnx"))?;
    let images = images(IMAGES);
    let logits = |network: &Network, images: &Tensor<4>| {
        network.forward(images.clone(), &Taps::none()).logits
    };
    write(&folder.join("logits.bin"), logits(&coarse, &images))?;
    write(&folder.join("floats.bin"), logits(&float, &images))?;
    integers(&coarse, size, &images, &folder.join("integers.bin"))?;
    // What the last bits of sums decide: in every layer a few numbers are rounded to the other side.
    let moved = coarse.map(&mut Larger);
    write(&folder.join("moved.bin"), logits(&moved, &images))?;
    write(&folder.join("images.bin"), images)?;
    println!("{}", json!({ "tensorrt": onnx.tensorrt().len() }));
    Ok(())
}

/// Writes what the network gives with integers; nothing where it cannot.
fn integers(coarse: &Network, size: usize, images: &Tensor<4>, path: &Path) -> Result<(), Failed> {
    if path.exists() {
        fs::remove_file(path)?;
    }
    #[cfg(feature = "flex")]
    match kd_compress::integer::IntegerNetwork::new(coarse, size) {
        Ok(integers) => write(path, integers.logits(images.clone())?)?,
        Err(problem) => eprintln!("{problem}"),
    }
    #[cfg(not(feature = "flex"))]
    let _ = (coarse, size, images);
    Ok(())
}

/// All parameters a millionth larger.
struct Larger;

impl ModuleMapper for Larger {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, tensor, mapper) = param.consume();
        Param::from_mapped_value(id, tensor * (1.0 + 1e-6), mapper)
    }
}

fn write<const D: usize>(path: &Path, tensor: Tensor<D>) -> Result<(), Failed> {
    let values = tensor.into_data();
    let bytes: Vec<u8> = values.iter::<f32>().flat_map(f32::to_le_bytes).collect();
    Ok(fs::write(path, bytes)?)
}
