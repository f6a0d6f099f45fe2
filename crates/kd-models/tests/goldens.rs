//! Every network against its reference: parameters, logits, maps and embedding of formula weights.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

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

/// Networks for larger images, which the registry does not have.
const DOCUMENTED: [(&str, &str); 12] = [
    ("resnet18", NOT_HERE),
    ("resnet34", NOT_HERE),
    ("resnet50", NOT_HERE),
    ("resnet152", NOT_HERE),
    ("mobilenet_v2", NOT_HERE),
    ("mobilenet_v3_small", NOT_HERE),
    ("mobilenet_v3_large", NOT_HERE),
    ("shufflenet_v2_x0_5", NOT_HERE),
    ("shufflenet_v2_x1_0", NOT_HERE),
    ("vgg16_bn", NOT_HERE),
    ("vgg16", NOT_HERE),
    ("efficientnet_b0", NOT_HERE),
];

const NOT_HERE: &str = "torchvision's network for larger images, which the registry does not have";

const RELATIVE: f64 = 1e-4;

/// Files above this many parameters are not written a second time.
const SAVED_AGAIN: u64 = 8_000_000;

#[test]
fn networks_compute_what_their_references_do() {
    let golden = read("models.json");
    let salt = golden["salt"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut report = Report::new("models.json", &DOCUMENTED);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| match case["source"].as_str().unwrap() {
            "mdistiller cifar" => {
                let path = folder.path().join(format!("{name}.safetensors"));
                compare(salt, name, case, &path, found);
                std::fs::remove_file(&path).unwrap();
            }
            "torchvision" if name == "vit_b_16" => {
                transformers::network(salt, &format!("torchvision.{name}"), case, found);
            }
            "torchvision" => found.fail("no network here has this name"),
            other => panic!("unknown source {other}"),
        });
    }
    report.finish();
}

fn compare(salt: &str, name: &str, case: &Value, path: &Path, found: &mut Comparison) {
    let mut keys = kd_goldens::keys(case);
    write_weights(path, salt, &keys);
    keys.retain(|key, _| !key.ends_with("num_batches_tracked"));

    let device = Device::flex();
    let canonical = find(name).unwrap().name;
    let shape: [usize; 4] = dims(&case["input"]).try_into().unwrap();
    let classes = dims(&case["logits"]["shape"])[1];
    let config = NetworkConfig::new(name, classes, shape[1]);
    let network = Network::from_file(&config, path, &device).unwrap();
    assert_eq!(network.config().model, canonical);
    let cost = network.cost(32).unwrap();
    assert_eq!(
        cost.parameters,
        case["params"].as_u64().unwrap(),
        "{name}: parameters"
    );

    let input: Vec<f32> = uniform(&format!("{salt}input"), shape.iter().product())
        .into_iter()
        .map(|u| (1.5 * u) as f32)
        .collect();
    let input = Tensor::<1>::from_floats(input.as_slice(), &device).reshape(shape);
    let output = network.forward(input, &Taps::all());
    check("logits", &case["logits"], &output.logits, found);
    let embedding = output.embedding().unwrap();
    check("embedding", &case["pooled_feat"], &embedding, found);

    let feats = case["feats"].as_array().unwrap();
    assert_eq!(
        output.levels(Part::Maps),
        feats.len(),
        "{name}: number of maps"
    );
    assert_eq!(
        output.levels(Part::MapsPreact),
        feats.len(),
        "{name}: maps_preact"
    );
    for (level, want) in feats.iter().enumerate() {
        let map = output.map(level).unwrap();
        check(&format!("map {level}"), want, &map, found);
    }
    let mut preact_feats = case["preact_feats"].as_array().unwrap();
    if preact_feats.is_empty() {
        // MobileNetV2's reference has none; its stages end without an activation.
        assert_eq!(canonical, "mobilenet_v2");
        preact_feats = feats;
    }
    for (level, want) in preact_feats.iter().enumerate() {
        let map = output.map_preact(level).unwrap();
        check(&format!("map {level} before"), want, &map, found);
    }
    if cost.parameters < SAVED_AGAIN {
        saved_is_what_was_loaded(name, &network, &keys, path);
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
    assert_eq!(
        after.len() as u64,
        network.cost(32).unwrap().bytes,
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
