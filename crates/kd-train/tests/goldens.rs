//! `training.json`: a student follows the reference step by step.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{ObjectiveConfig, Step, Taps};
use kd_goldens::{Comparison, Report, read, uniform};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::{Learner, TrainConfig};
use serde_json::{Value, json};

fn objective(method: &str) -> Option<Value> {
    Some(match method {
        "ce" => json!({"cross_entropy": {}}),
        "kd" => json!({
            "cross_entropy": {"weight": 0.1},
            "kd": {"weight": 0.9, "temperature": 4.0},
        }),
        "dkd" => json!({
            "cross_entropy": {},
            "dkd": {"weight": 1.0, "alpha": 1.0, "beta": 2.0, "temperature": 4.0},
        }),
        "rkd" => json!({
            "cross_entropy": {},
            "rkd": {"weight": 1.0, "distance": 25.0, "angle": 50.0},
        }),
        "at" => json!({
            "cross_entropy": {},
            "at": {"weight": 1000.0, "levels": [1, 2, 3]},
        }),
        "nst" => json!({
            "cross_entropy": {},
            "nst": {"weight": 50.0, "levels": [1, 2, 3]},
        }),
        "sp" => json!({"cross_entropy": {}, "sp": {"weight": 3000.0}}),
        "pkt" => json!({"cross_entropy": {}, "pkt": {"weight": 30000.0}}),
        _ => return None,
    })
}

/// Every step of every method stays within the file's tolerances, and so does the trained student.
#[test]
fn training_follows_the_reference() {
    let golden = read("training.json");
    let salt = golden["salt"].as_str().unwrap();
    let mut report = Report::new("training.json", &[]);
    for (method, golden) in golden["methods"].as_object().unwrap() {
        report.case(method, |found| match objective(method) {
            Some(objective) => {
                let objective = serde_json::from_value(objective).unwrap();
                follow(salt, &objective, golden, found);
            }
            None => found.fail("no objective here is known by this name"),
        });
    }
    report.finish();
}

fn network(model: &str, prefix: &str, device: &Device) -> Network {
    let models = read("models.json");
    let cases = models["cases"].as_array().unwrap();
    let case = cases.iter().find(|c| c["name"] == model).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.safetensors");
    kd_goldens::write_weights(&file, prefix, &kd_goldens::keys(case));
    Network::from_file(&NetworkConfig::new(model, 100, 3), &file, device).unwrap()
}

fn images(key: &str, batch: usize, device: &Device) -> Tensor<4> {
    let shape = [batch, 3, 32, 32];
    let values: Vec<f32> = uniform(key, shape.iter().product())
        .into_iter()
        .map(|v| (1.5 * v) as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn numbers(value: &Value) -> Vec<f64> {
    let list = value.as_array().unwrap();
    list.iter().map(|v| v.as_f64().unwrap()).collect()
}

fn follow(salt: &str, objective: &ObjectiveConfig, golden: &Value, found: &mut Comparison) {
    let plain = Device::flex();
    let autodiff = plain.clone().autodiff();
    let teacher = network("resnet20", &format!("{salt}teacher/"), &plain).valid();
    let student = network("resnet8", &format!("{salt}student/"), &autodiff);
    let probe = images(&format!("{salt}eval"), 4, &plain);
    let seen = student.valid().forward(probe.clone(), &Taps::all());
    let shown = teacher.forward(probe.clone(), &Taps::all());
    let objective = objective.init(&seen, Some(&shown), &autodiff).unwrap();
    let config: TrainConfig = serde_json::from_value(json!({
        "epochs": 1,
        "lr": {"peak": 0.05},
        "optimizer": {"name": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
    }))
    .unwrap();
    let mut learner = Learner::new(student, objective, &config);
    let tolerances = numbers(&golden["tolerance"]);
    for (k, want) in numbers(&golden["losses"]).into_iter().enumerate() {
        let labels: Vec<i64> = (0..16).map(|i| (7 * k as i64 + 3 * i) % 100).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [16]), &autodiff);
        let batch = vec![(images(&format!("{salt}step{k}"), 16, &autodiff), labels)];
        let at = Step {
            epoch: 1,
            epochs: 1,
            index: k,
        };
        let values = learner.step(Some(&teacher), batch, &at, 0.05).unwrap();
        let what = format!("step {k}");
        found.close(&what, values.loss, want, tolerances[k], 0.0);
    }
    let logits = learner.student().forward(probe, &Taps::none()).logits;
    let data: Vec<f64> = logits.into_data().iter::<f64>().collect();
    let mean = data.iter().map(|v| v.abs()).sum::<f64>() / data.len() as f64;
    found.close(
        "mean |logit| after training",
        mean,
        golden["eval_logits_abs_mean"].as_f64().unwrap(),
        golden["eval_tolerance"].as_f64().unwrap(),
        0.0,
    );
}
