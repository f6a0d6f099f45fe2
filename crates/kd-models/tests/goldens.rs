//! Every network against its reference: parameters, logits, maps and embedding of formula weights.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod detectors;
mod transformers;

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Part, Taps};
use kd_goldens::{Comparison, Report, read, uniform, write_weights};
use kd_models::{Backbone, Network, NetworkConfig, find};
use safetensors::SafeTensors;
use serde_json::Value;

const RELATIVE: f64 = 1e-4;

/// Files above this many parameters are not written a second time.
const SAVED_AGAIN: u64 = 8_000_000;

#[test]
fn networks_compute_what_their_references_do() {
    let golden = read("models.json");
    let mut report = Report::new("models.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| match case["source"].as_str().unwrap() {
            "mdistiller cifar" => compare(&golden, name, case, found),
            "torchvision" if find(&torchvision(name)).is_ok() => {
                compare(&golden, &torchvision(name), case, found);
            }
            "torchvision" => found.fail("no network here has this name"),
            other => panic!("unknown source {other}"),
        });
    }
    report.finish();
}

/// What `models.json` does not have of torchvision's networks: all of them, every map, the gradient of the images,
/// and running statistics after a step.
#[test]
fn networks_for_large_images_show_and_learn_what_torchvision_does() {
    let golden = read("models_more.json");
    let mut report = Report::new("models_more.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| {
            compare(&golden, &torchvision(name), case, found);
        });
    }
    report.finish();
}

/// Compact transformers with the weights of their authors' code: tokens as maps, and the gradient of the images.
#[test]
fn compact_transformers_compute_what_their_authors_code_does() {
    let golden = read("cct.json");
    let mut report = Report::new("cct.json", &[]);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| compare(&golden, name, case, found));
    }
    report.finish();
}

fn torchvision(name: &str) -> String {
    format!("torchvision.{name}")
}

fn compare(golden: &Value, name: &str, case: &Value, found: &mut Comparison) {
    let salt = golden["salt"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let mut keys = kd_goldens::keys(case);
    write_weights(&path, salt, &keys);
    keys.retain(|key, _| !key.ends_with("num_batches_tracked"));

    let device = Device::flex();
    let canonical = find(name).unwrap().name;
    let shape: [usize; 4] = dims(&case["input"]).try_into().unwrap();
    let [_, channels, size, _] = shape;
    let classes = dims(&case["logits"]["shape"])[1];
    let config = NetworkConfig::new(name, classes, channels).with_image_size(size);
    let network = Network::from_file(&config, &path, &device).unwrap();
    assert_eq!(network.config().model, canonical);
    let cost = network.cost(size).unwrap();
    assert_eq!(
        cost.parameters,
        case["params"].as_u64().unwrap(),
        "{name}: parameters"
    );

    let input = tensor(&format!("{salt}input"), 1.5, shape, &device);
    let output = network.forward(input.clone(), &Taps::all());
    check("logits", &case["logits"], &output.logits, found);
    let embedding = output.embedding().unwrap();
    let shown = ["pooled_feat", "embedding"].map(|key| &case[key]);
    for want in shown.into_iter().filter(|want| !want.is_null()) {
        check("embedding", want, &embedding, found);
    }
    if let Some(feats) = case["feats"].as_array() {
        let of = |part| output.levels(part);
        assert_eq!(of(Part::Maps), feats.len(), "{name}: maps");
        assert_eq!(of(Part::MapsPreact), feats.len(), "{name}: maps before");
        let preact_feats: &[Value] = match case["preact_feats"].as_array() {
            Some(maps) if !maps.is_empty() => maps,
            // Stages that end without an activation have none; torchvision's golden says nothing.
            _ if network_ends_linearly(canonical) => feats,
            _ => &[],
        };
        for (level, want) in feats.iter().enumerate() {
            let map = output.map(level).unwrap();
            check(&format!("map {level}"), want, &map, found);
        }
        for (level, want) in preact_feats.iter().enumerate() {
            let map = output.map_preact(level).unwrap();
            check(&format!("map {level} before"), want, &map, found);
        }
    }
    if !case["input_grad"].is_null() {
        learns(salt, &network, input, case, found);
    }
    if cost.parameters < SAVED_AGAIN {
        saved_is_what_was_loaded(name, &network, &keys, &path);
    }
}

/// Whether stages end in linear bottlenecks, so that a map before its activation is the map.
fn network_ends_linearly(canonical: &str) -> bool {
    canonical.starts_with("mobilenet") || canonical.starts_with("efficientnet")
}

fn tensor<const D: usize>(key: &str, scale: f64, shape: [usize; D], device: &Device) -> Tensor<D> {
    let values = uniform(key, shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|u| (scale * u) as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), device).reshape(shape)
}

/// The gradient of the images in evaluation, and the running statistics of the first normalisation after a step of
/// training with the images and their mirrors.
fn learns(salt: &str, network: &Network, input: Tensor<4>, case: &Value, found: &mut Comparison) {
    let network = network.clone().train();
    let lifted = Tensor::from_inner(input.clone()).require_grad();
    let output = network
        .clone()
        .freeze()
        .forward(lifted.clone(), &Taps::none());
    let logits = output.logits;
    let weights = tensor(
        &format!("{salt}upstream"),
        1.0,
        logits.dims(),
        &logits.device(),
    );
    let gradients = (logits * weights).sum().backward();
    let gradient = lifted.grad(&gradients).unwrap();
    check(
        "gradient of the images",
        &case["input_grad"],
        &gradient,
        found,
    );

    let Some(trained) = case["trained"].as_object() else {
        return;
    };
    let both = Tensor::cat(vec![input.clone(), input.flip([3])], 0);
    network.forward(Tensor::from_inner(both), &Taps::none());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trained.safetensors");
    network.save(&path, &[]).unwrap();
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    for (key, want) in trained {
        let values: Vec<f32> = file
            .tensor(key)
            .unwrap()
            .data()
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        let values = Tensor::<1>::from_floats(values.as_slice(), &Device::flex());
        check(key, want, &values, found);
    }
}

/// What is written has the reference's keys, shapes and values, and no more.
fn saved_is_what_was_loaded(
    name: &str,
    network: &Network,
    keys: &BTreeMap<String, Vec<usize>>,
    original: &Path,
) {
    let again = original.with_extension("again.safetensors");
    network.valid().save(&again, &[]).unwrap();
    let (before, after) = (
        std::fs::read(original).unwrap(),
        std::fs::read(&again).unwrap(),
    );
    let size = network.config().image_size().unwrap();
    assert_eq!(
        after.len() as u64,
        network.cost(size).unwrap().bytes,
        "{name}: bytes"
    );
    let before = SafeTensors::deserialize(&before).unwrap();
    let after = SafeTensors::deserialize(&after).unwrap();
    let saved: BTreeMap<String, Vec<usize>> = after
        .iter()
        .map(|(key, view)| (key.to_owned(), view.shape().to_vec()))
        .collect();
    assert_eq!(&saved, keys, "{name}: saved keys");
    for key in keys.keys() {
        assert!(
            before.tensor(key).unwrap().data() == after.tensor(key).unwrap().data(),
            "{name}: saved values of {key}"
        );
    }
    std::fs::remove_file(again).unwrap();
}

fn dims(value: &Value) -> Vec<usize> {
    let dims = value.as_array().unwrap().iter();
    dims.map(|n| n.as_u64().unwrap() as usize).collect()
}

/// Compares a tensor's shape, mean, mean of absolute values, first six and last two elements.
///
/// An element or a mean that is small against the tensor's mean absolute value carries the
/// rounding of values of that size, so that mean is the floor of the relative tolerance.
fn check<const D: usize>(what: &str, want: &Value, got: &Tensor<D>, found: &mut Comparison) {
    assert_eq!(got.dims().to_vec(), dims(&want["shape"]), "{what}: shape");
    let values: Vec<f64> = got.to_data().iter::<f64>().collect();
    let floor = want["abs_mean"].as_f64().unwrap();
    let mut close = |part: &str, got: f64, want: f64| {
        found.close(&format!("{what}, {part}"), got, want, RELATIVE, floor);
    };
    let mean = |values: &mut dyn Iterator<Item = f64>| {
        values.sum::<f64>() / got.shape().num_elements() as f64
    };
    close(
        "mean",
        mean(&mut values.iter().copied()),
        want["mean"].as_f64().unwrap(),
    );
    close(
        "mean absolute value",
        mean(&mut values.iter().map(|v| v.abs())),
        floor,
    );
    let listed = |key: &str| -> Vec<f64> {
        let list = want[key].as_array().unwrap().iter();
        list.map(|v| v.as_f64().unwrap()).collect()
    };
    for (index, want) in listed("first").into_iter().enumerate() {
        close(&format!("element {index}"), values[index], want);
    }
    let last = listed("last");
    let start = values.len() - last.len();
    for (index, want) in last.into_iter().enumerate() {
        close(
            &format!("element {}", start + index),
            values[start + index],
            want,
        );
    }
}
