//! What an objective learned and remembers is in its record.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::store::ModuleRecord;
use kd_core::{Objective, ObjectiveConfig, Step, draw, methods};
use serde_json::json;

use crate::adapters::{BATCH, batch, dry, networks, shown};
use crate::{classes_of, device};

/// A method beside cross-entropy, with learned weights where it can have them.
fn config(method: &str) -> ObjectiveConfig {
    let mut terms =
        json!({ "labels": { "term": "cross_entropy" }, "x": { "term": method, "weight": 0.1 } });
    if method != "vid" {
        terms["balance"] = "uncertainty".into();
    }
    let config: ObjectiveConfig = serde_json::from_value(terms).unwrap();
    config.with_samples(9)
}

fn started(method: &str, seed: u64) -> Objective {
    let (student, teacher) = &networks()[1];
    draw::seed(seed);
    config(method)
        .init(&dry(student, 1), Some(&dry(teacher, 2)), &device())
        .unwrap()
}

/// The losses of steps, each followed by one of the objective's own parameters.
fn run(mut objective: Objective, steps: std::ops::Range<usize>) -> (Objective, Vec<f32>) {
    let (student, teacher) = &networks()[1];
    let mut optimizer = SgdConfig::new().init();
    let mut losses = Vec::new();
    for index in steps {
        let seed = 10 * index as u64;
        let (student, _) = shown(student, BATCH, seed);
        let (teacher, _) = shown(teacher, BATCH, seed + 1);
        let labels = classes_of(&[0, 2, 1, 1]);
        let step = Step {
            epoch: 1,
            epochs: 3,
            index,
        };
        let total = objective
            .forward(&batch(&student, &teacher, &labels), &step)
            .unwrap()
            .total;
        let gradients = GradientsParams::from_grads(total.backward(), &objective);
        objective = optimizer.step(0.01, objective, gradients);
        losses.push(total.into_scalar());
    }
    (objective, losses)
}

#[test]
fn a_saved_objective_goes_on_as_if_nothing_had_happened() {
    for method in methods() {
        let name = method.name;
        let (trained, _) = run(started(name, 3), 0..2);
        // `valid` brings what is remembered up to date.
        let saved = trained.valid().into_record().into_bytes().unwrap();
        let record = ModuleRecord::from_bytes(saved).unwrap();
        let other = started(name, 99);
        let owns = other.num_params() > 2;
        let loaded = other.load_record(record);
        let (_, resumed) = run(loaded, 2..4);
        let (_, expected) = run(trained, 2..4);
        assert!(expected.iter().all(|loss| loss.is_finite()), "{name}");
        assert_eq!(resumed, expected, "{name}");
        let (_, fresh) = run(started(name, 99), 2..4);
        assert!(!owns || fresh != expected, "{name}");
    }
}
