//! Networks of Keras and Flax: the same logits here, and what is said of files that do not fit.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kd_core::Taps;
use kd_models::{Backbone, Error, FolderFormat, Network, NetworkConfig, WeightsHeader};
use serde_json::{Value, json};
use zip::ZipArchive;

/// What Keras wrote; `tests/data/keras/make.py` makes it.
const ARCHIVE: &[u8] = include_bytes!("data/keras/keras.zip");

const FILES: &[&str] = &[
    "model.msgpack",
    #[cfg(feature = "keras")]
    "model.keras",
    #[cfg(feature = "keras")]
    "model.weights.h5",
    #[cfg(feature = "keras")]
    "model.h5",
];

fn content(name: &str) -> Vec<u8> {
    let mut archive = ZipArchive::new(Cursor::new(ARCHIVE)).unwrap();
    let mut bytes = Vec::new();
    archive
        .by_name(name)
        .unwrap()
        .read_to_end(&mut bytes)
        .unwrap();
    bytes
}

fn names() -> Value {
    serde_json::from_slice(&content("names.json")).unwrap()
}

/// A file of the archive in a folder, with its names beside it.
fn file(folder: &Path, name: &str, names: &Value) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, content(name)).unwrap();
    let beside = folder.join(format!("{name}.names.json"));
    fs::write(beside, names.to_string()).unwrap();
    path
}

fn config() -> NetworkConfig {
    NetworkConfig::new("resnet8", 10, 3)
}

fn load(path: &Path) -> Result<Network, Error> {
    Network::from_file(&config(), path, &Device::flex())
}

fn message(path: &Path) -> String {
    load(path).unwrap_err().to_string()
}

/// The logits of the images that the archive has them of.
fn logits(network: &Network) -> Vec<f32> {
    let device = Device::flex();
    let values = (0..2 * 32 * 32 * 3).map(|at| (at % 251) as f32 / 125.0 - 1.0);
    let values: Vec<f32> = values.collect();
    let images = Tensor::<1>::from_floats(values.as_slice(), &device).reshape([2, 32, 32, 3]);
    let output = network.forward(images.permute([0, 3, 1, 2]), &Taps::none());
    output.logits.into_data().iter().collect()
}

fn expected() -> Vec<f32> {
    let rows: Vec<Vec<f32>> = serde_json::from_slice(&content("logits.json")).unwrap();
    rows.concat()
}

fn differ(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    let pairs = one.iter().zip(other);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn a_network_gives_the_logits_that_its_program_gives() {
    for name in FILES {
        let folder = tempfile::tempdir().unwrap();
        let network = load(&file(folder.path(), name, &names())).unwrap();
        let difference = differ(&logits(&network), &expected());
        assert!(difference < 1e-5, "{name}: {difference}");
        // Epsilon and padding go with the weights.
        let saved = folder.path().join("saved.safetensors");
        network.save(&saved, &[]).unwrap();
        let again = load(&saved).unwrap();
        assert_eq!(logits(&again), logits(&network), "{name}");
        let problem = again.export(
            folder.path().join("out"),
            FolderFormat::Timm,
            &WeightsHeader::default(),
        );
        assert!(matches!(problem, Err(Error::Export { .. })), "{problem:?}");
        let plain = kd_models::cost(&config(), 32).unwrap();
        assert_eq!(network.cost(32).unwrap().macs, plain.macs, "{name}");
    }
}

#[test]
fn epsilon_and_padding_matter() {
    for change in [json!({"epsilon": 1e-5}), json!({"padding": "symmetric"})] {
        let folder = tempfile::tempdir().unwrap();
        let mut names = names();
        for (key, value) in change.as_object().unwrap() {
            names[key] = value.clone();
        }
        let network = load(&file(folder.path(), "model.msgpack", &names)).unwrap();
        let difference = differ(&logits(&network), &expected());
        assert!(difference > 1e-3, "{change}: {difference}");
    }
}

#[test]
fn what_nothing_names_is_told() {
    for name in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), name, &names());
        let beside = folder.path().join(format!("{name}.names.json"));

        fs::remove_file(&beside).unwrap();
        let text = message(&path);
        assert!(text.contains("name them in"), "{text}");
        assert!(text.contains(".names.json"), "{text}");

        let mut other = names();
        other["layers"].as_object_mut().unwrap().remove("stem");
        fs::write(&beside, other.to_string()).unwrap();
        let text = message(&path);
        assert!(text.contains("does not name its layer `stem`"), "{text}");

        other["layers"]["stem"] = json!(null);
        fs::write(&beside, other.to_string()).unwrap();
        let text = message(&path);
        assert!(text.contains("1 missing: conv1.weight"), "{text}");

        other["layers"]["stem"] = json!("layer1.0.conv2");
        fs::write(&beside, other.to_string()).unwrap();
        let text = message(&path);
        assert!(text.contains("two of its layers"), "{text}");

        fs::write(&beside, "{").unwrap();
        assert!(message(&path).contains("cannot be read"));
        let mut other = names();
        other["stride"] = json!(2);
        fs::write(&beside, other.to_string()).unwrap();
        assert!(message(&path).contains("unknown field `stride`"));
        let mut other = names();
        other["first_strides"] = json!(true);
        fs::write(&beside, other.to_string()).unwrap();
        let text = message(&path);
        assert!(text.contains("strides as `resnet8` cannot"), "{text}");
    }
}

#[test]
fn damaged_files_are_refused() {
    for name in FILES {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), name, &names());
        let whole = content(name);
        for part in 1..12 {
            fs::write(&path, &whole[..whole.len() * part / 12]).unwrap();
            assert!(load(&path).is_err(), "{name}: {part} of 12");
        }
        // Zeros in the place of what describes the arrays.
        for at in [0, 100, 600, 2000] {
            let mut wrong = whole.clone();
            wrong[at..at + 64].fill(0);
            fs::write(&path, &wrong).unwrap();
            let _ = load(&path);
        }
    }
}

/// Arrays that are said to be larger than the file, or nested without end.
#[test]
fn hostile_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hostile.msgpack");
    let nested = [&[0x81, 0xa1, b'a'].repeat(100_000)[..], &[0xc0]].concat();
    let mut large = b"\x81\xa1a\x81\xa6kernel\xc7\x1a\x01".to_vec();
    // [[2^32 - 1, 2^32 - 1], "float32", b"1234"]
    large.extend(b"\x93\x92\xce\xff\xff\xff\xff\xce\xff\xff\xff\xff\xa7float32\xc4\x041234");
    let list = b"\xdd\xff\xff\xff\xff".to_vec();
    for (bytes, says) in [
        (nested, "depth"),
        (large, "elements for the shape"),
        (list, ""),
        (b"\x81\xa1a\xc7\xff".to_vec(), ""),
    ] {
        fs::write(&path, bytes).unwrap();
        let text = message(&path);
        assert!(text.contains(says), "{text}");
    }
}
