//! Networks that read text, from a folder as Hugging Face's library writes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{Device, Int, Tensor};
use kd_core::{Output, Part, Taps};
use kd_goldens::{Comparison, write_weights};
use kd_models::{Backbone, TextConfig, TextNetwork, TokenBatch};
use safetensors::SafeTensors;
use serde_json::{Value, json};

use super::parts;
use crate::check;

/// A folder with the weights of these keys, whose values begin with `prefix`, and a `config.json`.
pub fn folder(
    keys: &BTreeMap<String, Vec<usize>>,
    prefix: &str,
    config: &Value,
) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_weights(&folder.path().join("model.safetensors"), prefix, keys);
    let kind = if config["dim"].is_null() {
        "bert"
    } else {
        "distilbert"
    };
    let mut config = config.clone();
    config["model_type"] = json!(kind);
    if keys
        .keys()
        .any(|key| key.contains("vocab_") || key.starts_with("cls."))
    {
        config["architectures"] = json!(["BertForMaskedLM"]);
    }
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    folder
}

pub fn table(rows: &Value) -> Tensor<2, Int> {
    let rows: Vec<Vec<i64>> = serde_json::from_value(rows.clone()).unwrap();
    let rows = rows
        .iter()
        .map(|row| Tensor::<1, Int>::from_ints(row.as_slice(), &Device::flex()));
    Tensor::stack(rows.collect(), 0)
}

pub fn network(salt: &str, case: &Value, found: &mut Comparison) {
    let keys = kd_goldens::keys(case);
    let folder = folder(&keys, salt, &case["config"]);
    let device = Device::flex();
    let config = TextConfig::of_folder(folder.path()).unwrap();
    let batch = TokenBatch {
        ids: table(&case["input_ids"]),
        mask: table(&case["attention_mask"]).bool(),
        types: Some(&case["token_type_ids"])
            .filter(|types| !types.is_null())
            .map(table),
    };
    if !case["embedding"].is_null() {
        let refused = TextNetwork::from_file(&config, folder.path(), &device).unwrap_err();
        assert!(
            refused.to_string().contains("classifier.weight"),
            "{refused}"
        );
        let network = TextNetwork::from_backbone_file(&config, folder.path(), &device).unwrap();
        check(
            "embedding",
            &case["embedding"],
            &network.sentences(batch.clone()),
            found,
        );
        let output = network.forward(batch, &Taps::all());
        let last = output.tokens(output.levels(Part::Tokens) - 1).unwrap();
        return check("last states", &case["last_hidden_state"], &last, found);
    }
    let network = TextNetwork::from_file(&config, folder.path(), &device).unwrap();
    let parameters = network.cost(10).parameters;
    assert_eq!(parameters, case["params"].as_u64().unwrap());
    let plain = network.forward(batch.clone(), &Taps::none());
    check("logits alone", &case["logits"], &plain.logits, found);
    let output = network.forward(batch.clone(), &Taps::all());
    check("logits", &case["logits"], &output.logits, found);
    parts(case, &output, found);
    inside(case, &output, found);
    saved_is_the_same(&network, &keys, folder.path());
    let again = TextNetwork::from_file(&config, folder.path().join("again.safetensors"), &device);
    let again = again.unwrap().forward(batch, &Taps::none());
    assert_eq!(again.logits.into_data(), plain.logits.into_data());
}

fn inside(case: &Value, output: &Output, found: &mut Comparison) {
    let listed = |key: &str| case[key].as_array().cloned().unwrap_or_default();
    if !case["pooled"].is_null() {
        check(
            "pooled",
            &case["pooled"],
            &output.embedding().unwrap(),
            found,
        );
    }
    for (layer, want) in listed("scores_unmasked").iter().enumerate() {
        let scores: Tensor<4> = output.get(Part::Scores, layer).unwrap();
        check(&format!("scores {layer}"), want, &scores, found);
    }
    for (key, part) in [
        ("queries", Part::Queries),
        ("keys_", Part::Keys),
        ("values", Part::Values),
    ] {
        for (layer, want) in listed(key).iter().enumerate() {
            let heads: Tensor<4> = output.get(part, layer).unwrap();
            let [batch, count, tokens, each] = heads.dims();
            let rows = heads.swap_dims(1, 2).reshape([batch, tokens, count * each]);
            check(&format!("{key} {layer}"), want, &rows, found);
        }
    }
}

/// What is written has the keys, shapes and values of what was read, and no more.
fn saved_is_the_same(network: &TextNetwork, keys: &BTreeMap<String, Vec<usize>>, folder: &Path) {
    let again = folder.join("again.safetensors");
    network.save(&again, &[]).unwrap();
    let files =
        ["model.safetensors", "again.safetensors"].map(|name| fs::read(folder.join(name)).unwrap());
    let [before, after] = [0, 1].map(|at: usize| SafeTensors::deserialize(&files[at]).unwrap());
    assert_eq!(after.names().len(), keys.len());
    for (key, shape) in keys {
        let (before, after) = (before.tensor(key).unwrap(), after.tensor(key).unwrap());
        assert_eq!(
            (after.shape(), after.data()),
            (shape.as_slice(), before.data()),
            "{key}"
        );
    }
}
