//! Run folders of older versions: their JSON, brought to the form of today.

use serde_json::{Map, Value, json};

/// A line of `metrics.jsonl`.
pub(crate) fn record(value: &mut Value) {
    let Some(keys) = value.as_object_mut() else {
        return;
    };
    rename(keys, "arm", "role");
    let top1 = keys.shift_remove("validation_top1").unwrap_or_default();
    let loss = keys.shift_remove("validation_loss").unwrap_or_default();
    if !top1.is_null() {
        let scores = json!([
            score("top1", "top-1", "percent", "higher", top1),
            score("loss", "cross-entropy", "nats", "lower", loss),
        ]);
        keys.insert("validation".into(), scores);
    }
}

/// A `summary.json`.
pub(crate) fn summary(value: &mut Value) {
    let Some(keys) = value.as_object_mut() else {
        return;
    };
    rename(keys, "arms", "networks");
    let networks = keys.get_mut("networks").and_then(Value::as_array_mut);
    for network in networks.into_iter().flatten() {
        let Some(network) = network.as_object_mut() else {
            continue;
        };
        rename(network, "arm", "role");
        if let Some(test) = network.get_mut("test") {
            scores(test);
        }
        if let Some(training) = network.get_mut("training") {
            self::training(training);
        }
    }
}

/// How a network was trained.
pub(crate) fn training(value: &mut Value) {
    if let Some(keys) = value.as_object_mut() {
        rename(keys, "best_validation_top1", "best_validation");
    }
}

/// Accuracy and calibration, a key each.
fn scores(test: &mut Value) {
    let Some(keys) = test.as_object_mut() else {
        return;
    };
    let Some(top1) = keys.shift_remove("top1") else {
        return;
    };
    let mut take = |key: &str| keys.shift_remove(key).unwrap_or_default();
    let list = json!([
        score("top1", "top-1", "percent", "higher", top1),
        score("loss", "cross-entropy", "nats", "lower", take("loss")),
        score("top5", "top-5", "percent", "higher", take("top5")),
        score("ece", "ECE", "percent", "lower", take("ece")),
    ]);
    keys.insert("list".into(), list);
}

fn score(key: &str, title: &str, unit: &str, better: &str, value: Value) -> Value {
    json!({ "key": key, "title": title, "unit": unit, "better": better, "value": value })
}

fn rename(keys: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = keys.shift_remove(from) {
        keys.entry(to).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Record, Role, Summary};

    #[test]
    fn a_summary_of_version_0_1_is_read() {
        let network = json!({
            "arm": "alone", "seed": 1, "model": "resnet8", "parameters": 77_850, "macs": 9_350_000,
            "bytes": 318_000, "adapter_parameters": 0, "learned_from": [],
            "test": { "top1": 82.3, "top5": 99.6, "loss": 0.5, "ece": 2.1, "per_class": [82.3, null] },
            "agreement": 86.3, "latency": { "median_ms": 0.5, "p95_ms": 0.6 }, "images_per_second": 900.0,
            "training": { "epochs": 20, "best_epoch": 19, "best_validation_top1": 81.0, "seconds": 9.0,
                "images_per_second": 400.0 },
        });
        let old = json!({
            "name": "quickstart", "version": "0.1.0", "device": "flex", "threads": 2,
            "data": { "name": "fashion_mnist_small", "sha256": "", "train": 1, "validation": 1, "test": 1,
                "classes": ["a", "b"] },
            "arms": [network], "gain": { "mean": 1.0, "std": null, "per_seed": [1.0] },
            "temperature": null,
        });
        let read = Summary::read(&old.to_string()).unwrap();
        let network = &read.networks[0];
        assert_eq!(network.role, Role::Baseline);
        assert_eq!(network.test.first().map(|s| s.value), Some(82.3));
        assert_eq!(network.test.get("ece"), Some(2.1));
        assert_eq!(network.test.per_class, [Some(82.3), None]);
        assert_eq!(
            network.training.as_ref().and_then(|t| t.best_validation),
            Some(81.0)
        );
        assert_eq!(read.gain.map(|gain| gain.score), Some("top-1".into()));
        // And what is written now is read as it is.
        let now = Summary::read(&old.to_string()).unwrap();
        let again = Summary::read(&serde_json::to_string(&now).unwrap()).unwrap();
        assert_eq!(again, now);
    }

    #[test]
    fn a_record_of_version_0_1_is_read() {
        let old = json!({
            "kind": "epoch", "arm": "peer-alone:resnet8", "seed": 1, "epoch": 2, "step": 40, "loss": 1.0,
            "components": { "kd": 2.0 }, "lr": 0.1, "seconds": 1.0, "images_per_second": 64.0,
            "validation_top1": 61.5, "validation_loss": null,
        });
        let Record::Epoch(read) = Record::read(&old.to_string()).unwrap() else {
            panic!("{old}");
        };
        assert_eq!(read.role, Role::PeerBaseline("resnet8".into()));
        assert_eq!(read.validation[0].value, 61.5);
        assert!(read.validation[1].value.is_nan());
    }
}
