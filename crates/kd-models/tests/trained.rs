//! Trained PyTorch weights: a zip archive and the older pickle stream, with their wrappings.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_models::{Backbone, Network, NetworkConfig};

fn error(config: &NetworkConfig, path: &Path) -> String {
    let result = Network::from_file(config, path, &Device::flex());
    result.unwrap_err().to_string()
}

/// The folder with real weights, or none with a word about it.
fn real(name: &str) -> Option<PathBuf> {
    match std::env::var_os("KD_DATA") {
        Some(folder) => Some(Path::new(&folder).join("weights").join(name)),
        None => {
            println!("skipped: KD_DATA is not set");
            None
        }
    }
}

#[test]
fn trained_weights_load_and_are_sure_of_something() {
    for (file, model, classes) in [
        ("cifar10_resnet20-12fca82f.th", "resnet20_a", 10),
        ("cifar10_resnet56-4bfd9763.th", "resnet56_a", 10),
        ("cifar100_resnet32.pth", "resnet32", 100),
    ] {
        let Some(path) = real(file) else { return };
        let config = NetworkConfig::new(model, classes, 3);
        let network = Network::from_file(&config, &path, &Device::flex()).unwrap();
        let input = kd_goldens::uniform("input", 2 * 3 * 32 * 32);
        let input: Vec<f32> = input.into_iter().map(|v| v as f32).collect();
        let input = Tensor::<1>::from_floats(input.as_slice(), &Device::flex());
        let output = network.forward(input.reshape([2, 3, 32, 32]), &Taps::none());
        let logits: Vec<f32> = output.logits.into_data().iter().collect();
        println!("{model}: {:?}", &logits[..10]);
        assert!(logits.iter().all(|v| v.is_finite() && v.abs() < 100.0));
        let spread = logits.iter().fold(f32::MIN, |a, b| a.max(*b));
        assert!(spread > 1.0, "{model}: {spread}");
    }
}

#[test]
fn a_pytorch_file_that_is_cut_off_or_for_other_classes_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for (file, model, classes) in [
        ("cifar10_resnet20-12fca82f.th", "resnet20_a", 10),
        ("cifar100_resnet32.pth", "resnet32", 100),
    ] {
        let Some(path) = real(file) else { return };
        let message = error(&NetworkConfig::new(model, 7, 3), &path);
        assert!(
            message.contains(&format!("or data of {classes} classes")),
            "{message}"
        );
        let message = error(&NetworkConfig::new("resnet8", classes, 3), &path);
        assert!(
            message.contains(&format!("these are weights of `{model}`")),
            "{message}"
        );
        let bytes = std::fs::read(&path).unwrap();
        for part in [bytes.len() / 2, bytes.len() - 10, 1000] {
            let cut = folder.path().join(file);
            std::fs::write(&cut, &bytes[..part]).unwrap();
            let message = error(&NetworkConfig::new(model, classes, 3), &cut);
            assert!(
                message.contains("not a readable weights file"),
                "{part}: {message}"
            );
        }
    }
}
