//! Files of weights as tensors by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_models::{Network, VitConfig};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

use crate::network;

pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A drawn network whose every number is drawn, also those that start at 0 and 1.
pub fn restless(shape: &VitConfig) -> (Network, Tensors, tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    network(shape, &Device::flex()).save(&path, &[]).unwrap();
    let mut tensors = read(&path);
    for (name, (_, values)) in &mut tensors {
        let noise = kd_goldens::uniform(name, values.len());
        for (value, noise) in values.iter_mut().zip(noise) {
            *value += 0.1 * noise as f32;
        }
    }
    write(&path, &tensors);
    let network = network(shape, &Device::flex()).load(&path).unwrap();
    (network, tensors, folder, path)
}

pub fn read(path: &Path) -> Tensors {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = |(name, view): (&str, TensorView)| {
        let values = view.data().chunks(4);
        let values = values.map(|v| f32::from_le_bytes(v.try_into().unwrap()));
        (name.to_owned(), (view.shape().to_vec(), values.collect()))
    };
    file.iter().map(tensor).collect()
}

pub fn write(path: &Path, tensors: &Tensors) {
    let bytes: Vec<Vec<u8>> = tensors
        .values()
        .map(|(_, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
        .collect();
    let views = tensors
        .iter()
        .zip(&bytes)
        .map(|((name, (shape, _)), bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
    safetensors::serialize_to_file(views, None, path).unwrap();
}

/// The tensors with other names; a row-wise third of each `qkv` where a name holds `{}`.
pub fn renamed(tensors: &Tensors, names: &[(&str, &str)]) -> Tensors {
    let mut all = Tensors::new();
    for (name, (shape, values)) in tensors {
        let rename = |third: &str| {
            names.iter().fold(name.clone(), |name, (from, to)| {
                name.replacen(from, &to.replace("{}", third), 1)
            })
        };
        if !rename("").eq(&rename("x")) {
            let mut shape = shape.clone();
            shape[0] /= 3;
            for (part, values) in ["query", "key", "value"]
                .iter()
                .zip(values.chunks(values.len() / 3))
            {
                all.insert(rename(part), (shape.clone(), values.to_vec()));
            }
        } else {
            all.insert(rename(""), (shape.clone(), values.clone()));
        }
    }
    all
}
