//! `transformers.json` and `transformers_more.json`: vision transformers with the names of every program, and the
//! pieces that they are made of.

mod dinov2;
mod documented;
mod graph;
mod losses;
mod pieces;
mod shape;
mod text;
mod training;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use kd_core::{Output, Part, Taps};
use kd_goldens::{Comparison, Report, parameter, read, uniform, write_weights};
use kd_models::{Backbone, Network, NetworkConfig, find, layer_norm};
use serde_json::Value;

use super::{SAVED_AGAIN, check, dims};
use shape::Shape;

#[test]
fn transformers_compute_what_their_references_do() {
    let golden = read("transformers.json");
    let salt = golden["salt"].as_str().unwrap();
    let mut report = Report::new("transformers.json", documented::FIRST);
    for case in golden["cases"].as_array().unwrap() {
        let name = case["name"].as_str().unwrap();
        report.case(name, |found| network(salt, name, case, found));
    }
    report.finish();
}

#[test]
fn transformers_and_their_pieces_compute_what_their_references_do() {
    let golden = read("transformers_more.json");
    let salt = golden["salt"].as_str().unwrap();
    let mut report = Report::new("transformers_more.json", documented::MORE);
    for section in ["networks", "pieces", "losses", "training"] {
        for case in golden[section].as_array().unwrap() {
            let name = case["name"].as_str().unwrap();
            report.case(&format!("{section}/{name}"), |found| match section {
                "networks" => network(salt, name, case, found),
                "pieces" => pieces::compare(salt, name, case, found),
                "training" => training::compare(salt, case, found),
                _ => losses::compare(salt, name, case, found),
            });
        }
    }
    report.finish();
}

/// A registered network, or one of the shape that the case says.
fn built(name: &str, case: &Value, path: &Path) -> Result<Network, String> {
    let device = Device::flex();
    if let Ok(info) = find(name) {
        let [classes, size] = [dims(&case["logits"]["shape"])[1], dims(&case["input"])[2]];
        let config = NetworkConfig::new(info.name, classes, 3).with_image_size(size);
        return Network::from_file(&config, path, &device).map_err(|e| e.to_string());
    }
    let Some(shape) = Shape::of(case) else {
        return Err("no network here has this name or shape".into());
    };
    let config = NetworkConfig::new(name, shape.classes, 3).with_image_size(shape.size);
    let network = Network::vit(&shape.vit, &config, &device).and_then(|n| n.load(path));
    network.map_err(|e| e.to_string())
}

fn network(salt: &str, name: &str, case: &Value, found: &mut Comparison) {
    if case["graph"].is_object() {
        return graph::network(salt, case, found);
    }
    if case["input_ids"].is_array() {
        return text::network(salt, case, found);
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    write_weights(&path, salt, &kd_goldens::keys(case));
    let network = match built(name, case, &path) {
        Ok(network) => network,
        Err(problem) => return found.fail(problem),
    };
    let size = dims(&case["input"])[2];
    let cost = network.cost(size).unwrap();
    assert_eq!(cost.parameters, case["params"].as_u64().unwrap(), "{name}");
    let input = images(&format!("{salt}input"), &case["input"]);
    let fused = network.forward(input.clone(), &Taps::none());
    check("fused logits", &case["logits"], &fused.logits, found);
    let output = network.forward(input.clone(), &Taps::all());
    check("logits", &case["logits"], &output.logits, found);
    parts(case, &output, found);
    if !case["tokens"].is_null() {
        let last = output.tokens(output.levels(Part::Tokens) - 1).unwrap();
        let tokens = normalised(salt, last, &["norm.weight", "norm.bias"]);
        check("normalised tokens", &case["tokens"], &tokens, found);
    }
    if cost.parameters < SAVED_AGAIN {
        saved_is_the_same_network(&network, &input, &output, folder.path());
    }
}

fn parts(case: &Value, output: &Output, found: &mut Comparison) {
    let listed = |key: &str| case[key].as_array().cloned().unwrap_or_default();
    for (level, want) in listed("hidden_states").iter().enumerate() {
        let tokens = output.tokens(level).unwrap();
        check(&format!("tokens {level}"), want, &tokens, found);
    }
    for (block, want) in listed("blocks").iter().enumerate() {
        let tokens = output.tokens(block + 1).unwrap();
        check(&format!("tokens after {block}"), want, &tokens, found);
    }
    for (layer, want) in listed("attentions").iter().enumerate() {
        let attention = output.attention(layer).unwrap();
        check(&format!("attention {layer}"), want, &attention, found);
    }
    let heads = [("head", "cls_logits"), ("head_dist", "distillation_logits")];
    for (level, names) in heads.into_iter().enumerate() {
        let names = <[&str; 2]>::from(names).into_iter();
        for want in names.map(|name| &case[name]).filter(|want| !want.is_null()) {
            let logits: Tensor<2> = output.get(Part::Heads, level).unwrap();
            check(&format!("head {level}"), want, &logits, found);
        }
    }
}

/// Tokens after the last layer normalisation, whose weight and bias have these keys.
fn normalised(salt: &str, tokens: Tensor<3>, keys: &[&str; 2]) -> Tensor<3> {
    let [_, _, width] = tokens.dims();
    let [weight, bias] = keys.map(|key| {
        let values = parameter(salt, key, &[width]).into_iter();
        let values: Vec<f32> = values.map(|v| v as f32).collect();
        Tensor::from_floats(values.as_slice(), &tokens.device())
    });
    layer_norm(tokens, weight, bias, 1e-6)
}

/// Our own file has timm's names, whosever the weights are, and says the same.
fn saved_is_the_same_network(network: &Network, input: &Tensor<4>, output: &Output, folder: &Path) {
    let again = folder.join("again.safetensors");
    network.save(&again, &[]).unwrap();
    let cost = network.cost(input.dims()[2]).unwrap();
    assert_eq!(std::fs::metadata(&again).unwrap().len(), cost.bytes);
    let read = network.clone().load(&again).unwrap();
    assert_eq!(read.origin(), network.origin());
    let logits = read.forward(input.clone(), &Taps::all()).logits;
    assert_eq!(logits.into_data(), output.logits.to_data());
    let mut names: BTreeMap<&str, bool> =
        BTreeMap::from([("cls_token", false), ("head.bias", false)]);
    let bytes = std::fs::read(&again).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for name in file.names() {
        names.entry(name).and_modify(|seen| *seen = true);
    }
    assert!(names.values().all(|seen| *seen), "{names:?}");
}

fn images(key: &str, shape: &Value) -> Tensor<4> {
    let shape: [usize; 4] = dims(shape).try_into().unwrap();
    let values = uniform(key, shape.iter().product()).into_iter();
    let values: Vec<f32> = values.map(|u| (1.5 * u) as f32).collect();
    Tensor::<1>::from_floats(values.as_slice(), &Device::flex()).reshape(shape)
}
