//! What an objective learned and remembers is in its record.

use burn::module::Module;
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::store::ModuleRecord;
use burn::tensor::Tensor;
use kd_core::{Error, Objective, ObjectiveConfig, OwnTerm, Pair, PairTaps, Step, draw, methods};
use serde_json::json;

use crate::adapters::{BATCH, batch, dry, networks, shown, targets};
use crate::device;

/// A method beside cross-entropy, with learned weights where it can have them.
fn config(method: &str) -> ObjectiveConfig {
    let mut terms =
        json!({ "labels": { "term": "cross_entropy" }, "x": { "term": method, "weight": 0.1 } });
    if method != "vid" {
        terms["balance"] = "uncertainty".into();
    }
    let config: ObjectiveConfig = serde_json::from_value(terms).unwrap();
    config.with_samples(9).unwrap()
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
        let targets = targets();
        let step = Step {
            epoch: 1,
            epochs: 3,
            index,
        };
        let total = objective
            .forward(&batch(&student, &teacher, &targets), &step)
            .unwrap()
            .total;
        let gradients = GradientsParams::from_grads(total.backward(), &objective);
        objective = optimizer.step(0.01, objective, gradients);
        losses.push(total.into_scalar());
    }
    (objective, losses)
}

/// Runs an objective that is saved and loaded into another, and one that is not.
fn assert_goes_on(name: &str, started: impl Fn(u64) -> Objective) {
    let (trained, _) = run(started(3), 0..2);
    // `valid` brings what is remembered up to date.
    let saved = trained.valid().into_record().into_bytes().unwrap();
    let record = ModuleRecord::from_bytes(saved).unwrap();
    let other = started(99);
    let owns = other.num_params() > 2;
    let loaded = other.load_record(record);
    let (_, resumed) = run(loaded, 2..4);
    let (_, expected) = run(trained, 2..4);
    assert!(expected.iter().all(|loss| loss.is_finite()), "{name}");
    assert_eq!(resumed, expected, "{name}");
    let (_, fresh) = run(started(99), 2..4);
    assert!(!owns || fresh != expected, "{name}");
}

#[test]
fn a_saved_objective_goes_on_as_if_nothing_had_happened() {
    for method in methods() {
        assert_goes_on(method.name, |seed| started(method.name, seed));
    }
}

/// The student's embedding, projected and normalised, meets the teacher's.
#[derive(Module, Debug)]
struct Projected {
    projection: Linear,
    norm: BatchNorm,
}

impl OwnTerm for Projected {
    fn taps(&self) -> PairTaps {
        PairTaps::embeddings()
    }

    fn forward(&self, pair: &Pair, _: &Step) -> Result<Tensor<1>, Error> {
        let projected = self.projection.forward(pair.student.embedding()?);
        let away = self.norm.forward(projected) - pair.teacher()?.embedding()?.detach();
        Ok(away.square().mean())
    }
}

#[test]
fn so_does_one_with_a_loss_of_ones_own() {
    let started = |seed| {
        let objective = started("kd", seed);
        let (student, teacher) = &networks()[1];
        let widths = [student, teacher].map(|shapes| {
            let [_, width] = dry(shapes, 1).embedding().unwrap().dims();
            width
        });
        let mut projection = LinearConfig::new(widths[0], widths[1]).init(&device());
        projection.weight = draw::normal(widths, 0.5, &device());
        let norm = BatchNormConfig::new(widths[1]).init(&device());
        objective
            .with_term("projected", 0.1, Projected { projection, norm })
            .unwrap()
    };
    assert_goes_on("projected", started);
}
