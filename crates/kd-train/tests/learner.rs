//! What an optimiser step does to the weights: accumulation, clipping, averaging.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use kd_core::{Head, ObjectiveConfig, Step, Taps, draw};
use kd_models::{Backbone, Network, NetworkConfig};
use kd_train::{Learner, LossValues, TrainConfig};
use serde_json::{Value, json};

const STEP: Step = Step {
    epoch: 1,
    epochs: 1,
    index: 0,
};

/// Convolution weights, in the order of the module.
fn weights(network: &Network) -> Vec<f32> {
    struct Collect(Vec<f32>);
    impl ModuleVisitor for Collect {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if D == 4 {
                self.0.extend(param.val().into_data().iter::<f32>());
            }
        }
    }
    let mut collect = Collect(Vec::new());
    network.visit(&mut collect);
    collect.0
}

fn batch(salt: &str) -> (Tensor<4>, Tensor<1, Int>) {
    let device = Device::flex().autodiff();
    let shape = [4, 1, 8, 8];
    let values: Vec<f32> = kd_goldens::uniform(salt, 256)
        .into_iter()
        .map(|v| v as f32)
        .collect();
    let images = Tensor::from_data(TensorData::new(values, shape), &device);
    (images, Tensor::from_ints([0, 1, 2, 3], &device))
}

/// A student with formula weights, so that every call starts from the same.
fn learner(config: Value, objective: Value) -> Learner<Network> {
    let device = Device::flex().autodiff();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("w.safetensors");
    let models = kd_goldens::read("models.json");
    let cases = models["cases"].as_array().unwrap();
    let case = cases.iter().find(|c| c["name"] == "resnet8").unwrap();
    let mut keys = kd_goldens::keys(case);
    keys.insert("conv1.weight".into(), vec![16, 1, 3, 3]);
    keys.insert("fc.weight".into(), vec![4, 64]);
    keys.insert("fc.bias".into(), vec![4]);
    kd_goldens::write_weights(&file, "", &keys);
    let network = NetworkConfig::new("resnet8", 4, 1);
    let student = Network::from_file(&network, &file, &device).unwrap();
    let seen = student
        .valid()
        .forward(batch("dry").0.inner(), &Taps::all());
    let objective: ObjectiveConfig = serde_json::from_value(objective).unwrap();
    let objective = objective.init(&seen, Some(&seen), &device).unwrap();
    let mut full = json!({"epochs": 1, "lr": {"peak": 0.1}});
    full.as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    let config: TrainConfig = serde_json::from_value(full).unwrap();
    Learner::new(student, objective, &config)
}

fn plain_sgd() -> Value {
    json!({"optimizer": {"name": "sgd", "momentum": 0.0, "weight_decay": 0.0}})
}

fn step(learner: &mut Learner<Network>, salts: &[&str]) -> LossValues {
    let batches = salts.iter().map(|s| batch(s)).collect();
    learner.step(None::<&Network>, batches, &STEP, 0.1).unwrap()
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |m, (a, b)| m.max((a - b).abs()))
}

#[test]
fn accumulated_gradients_are_averaged() {
    let objective = || json!({"cross_entropy": {}});
    let (mut once, mut twice) = (
        learner(plain_sgd(), objective()),
        learner(plain_sgd(), objective()),
    );
    let start = weights(&once.student());
    let a = step(&mut once, &["a"]);
    let b = step(&mut twice, &["a", "a"]);
    assert!((a.loss - b.loss).abs() < 1e-6);
    assert!((a.gradient_norm - b.gradient_norm).abs() < 1e-5 * a.gradient_norm);
    let (once, twice) = (weights(&once.student()), weights(&twice.student()));
    assert!(largest_difference(&once, &twice) < 1e-6);
    assert!(largest_difference(&once, &start) > 1e-3);
}

#[test]
fn a_clipped_step_has_the_direction_of_the_whole_and_the_length_of_the_limit() {
    let mut clipped_config = plain_sgd();
    clipped_config["clip_norm"] = json!(0.01);
    let objective = || json!({"cross_entropy": {}});
    let mut whole = learner(plain_sgd(), objective());
    let mut clipped = learner(clipped_config, objective());
    let start = weights(&whole.student());
    let norm = step(&mut whole, &["a"]).gradient_norm;
    assert_eq!(step(&mut clipped, &["a"]).gradient_norm, norm);
    assert!(norm > 0.02, "{norm}");
    let share = (0.01 / norm) as f32;
    for ((start, whole), clipped) in start
        .iter()
        .zip(weights(&whole.student()))
        .zip(weights(&clipped.student()))
    {
        let want = (whole - start) * share;
        assert!((clipped - start - want).abs() < 1e-6);
    }
}

#[test]
fn the_average_lags_behind_by_its_decay() {
    let mut config = plain_sgd();
    config["ema"] = json!(0.15);
    let mut averaged = learner(config, json!({"cross_entropy": {}}));
    let mut plain = learner(plain_sgd(), json!({"cross_entropy": {}}));
    let mut states = Vec::new();
    for salt in ["a", "b", "c"] {
        step(&mut averaged, &[salt]);
        step(&mut plain, &[salt]);
        states.push(weights(&plain.student()));
    }
    // min(0.15, (1 + n) / (10 + n)) is 0.15 for the second and third step.
    let got = weights(&averaged.student());
    for (i, got) in got.iter().enumerate() {
        let second = 0.15 * states[0][i] + 0.85 * states[1][i];
        let want = 0.15 * second + 0.85 * states[2][i];
        assert!((got - want).abs() < 1e-6);
    }
    assert!(largest_difference(&states[2], &got) > 1e-5);
}

#[test]
fn a_step_that_is_not_finite_leaves_the_weights_alone() {
    let mut learner = learner(plain_sgd(), json!({"cross_entropy": {}}));
    let start = weights(&learner.student());
    let (images, labels) = batch("a");
    let broken = images * f32::NAN;
    let values = learner
        .step(None::<&Network>, vec![(broken, labels)], &STEP, 0.1)
        .unwrap();
    let (component, value) = values.not_finite().unwrap();
    assert_eq!(component, "cross_entropy");
    assert!(value.is_nan());
    assert_eq!(weights(&learner.student()), start);
}

#[test]
fn adapters_train_with_the_student() {
    let objective = json!({"cross_entropy": {}, "fitnet": {"weight": 1.0}});
    let mut learner = learner(plain_sgd(), objective);
    assert!(learner.objective().num_params() > 0);
    let teacher = learner.student();
    let before = step_with(&mut learner, &teacher);
    let mut after = before.clone();
    for _ in 0..5 {
        after = step_with(&mut learner, &teacher);
    }
    let hint = |v: &LossValues| v.components["fitnet"].value;
    assert!(hint(&after) < hint(&before), "{after:?} {before:?}");
}

#[test]
fn a_balance_by_gradients_is_followed_in_a_loop_of_ones_own() {
    let objective = json!({"cross_entropy": {}, "squared_logits": {}, "balance": "gradient_norm"});
    let mut learner = learner(plain_sgd(), objective);
    let other = NetworkConfig::new("resnet8", 4, 1);
    let teacher = Network::new(&other, &Device::flex()).unwrap().valid();
    let values = step_with(&mut learner, &teacher);
    let norm = |name: &str| values.components[name].gradient_norm.unwrap();
    let wanted = norm("cross_entropy") / norm("squared_logits");
    let found = values.components["squared_logits"].weight;
    assert!((found - wanted).abs() < 1e-3 * wanted, "{found} {wanted}");
}

fn step_with(learner: &mut Learner<Network>, teacher: &Network) -> LossValues {
    learner
        .step(Some(teacher), vec![batch("a")], &STEP, 0.01)
        .unwrap()
}

#[test]
fn a_head_is_averaged_with_its_student() {
    let kernels = |head: &Head| -> Vec<f32> {
        let (convolutions, _) = head.layers();
        convolutions
            .flat_map(|conv| {
                conv.weight
                    .val()
                    .into_data()
                    .iter::<f32>()
                    .collect::<Vec<_>>()
            })
            .collect()
    };
    let objective = json!({ "simkd": { "weight": 1 } });
    for ema in [None, Some(0.9)] {
        draw::seed(2);
        let mut config = plain_sgd();
        config["ema"] = json!(ema);
        let mut learner = learner(config, objective.clone());
        let teacher = learner.student();
        let before = kernels(learner.objective().valid().head().unwrap());
        let mut after = Vec::new();
        for _ in 0..2 {
            step_with(&mut learner, &teacher);
            after.push(kernels(learner.objective().valid().head().unwrap()));
        }
        assert!(largest_difference(&before, &after[1]) > 1e-4);
        let deployed = kernels(learner.deployed().unwrap().head().unwrap());
        let Some(_) = ema else {
            assert_eq!(deployed, after[1]);
            continue;
        };
        // The decay of the second step is 2/11, and the first leaves the parameters as they are.
        let mean: Vec<f32> = after[0]
            .iter()
            .zip(&after[1])
            .map(|(first, second)| first * (2.0 / 11.0) + second * (9.0 / 11.0))
            .collect();
        assert!(largest_difference(&deployed, &mean) < 1e-6);
        assert!(largest_difference(&deployed, &after[1]) > 1e-6);
    }
}

#[test]
fn a_relation_of_one_image_is_an_error() {
    let mut learner = learner(plain_sgd(), json!({"cross_entropy": {}, "rkd": {}}));
    let teacher = learner.student();
    let (images, labels) = batch("a");
    let one = vec![(images.narrow(0, 0, 1), labels.narrow(0, 0, 1))];
    let error = learner.step(Some(&teacher), one, &STEP, 0.1).unwrap_err();
    assert!(error.to_string().contains("rkd"), "{error}");
}

/// A learner that is saved after two steps, and loaded into a new one, takes the next steps of the first.
#[test]
fn a_saved_learner_takes_the_steps_that_it_would_have_taken() {
    let optimizers = [
        json!({"optimizer": {"name": "sgd", "momentum": 0.9}, "ema": 0.5}),
        json!({"optimizer": {"name": "adamw"}, "ema": 0.5}),
        json!({}),
    ];
    for config in optimizers {
        let new = || learner(config.clone(), json!({"cross_entropy": {}}));
        let mut first = new();
        step(&mut first, &["a"]);
        step(&mut first, &["b"]);
        let mut loaded = new().with_state(&first.state().unwrap()).unwrap();
        let same = |a: &Learner<Network>, b: &Learner<Network>| {
            assert_eq!(weights(&a.student()), weights(&b.student()), "{config}");
        };
        same(&loaded, &first);
        for salt in ["c", "d"] {
            let (a, b) = (step(&mut first, &[salt]), step(&mut loaded, &[salt]));
            assert_eq!(a, b, "{config}");
        }
        same(&loaded, &first);
        let mut fresh = new();
        assert_ne!(step(&mut fresh, &["c"]), step(&mut first, &["c"]));
    }
    let plain = learner(json!({}), json!({"cross_entropy": {}}));
    let mut averaged = learner(json!({"ema": 0.5}), json!({"cross_entropy": {}}));
    step(&mut averaged, &["a"]);
    let error = plain.with_state(&averaged.state().unwrap()).err().unwrap();
    assert!(error.to_string().contains("moving average"), "{error}");
}
