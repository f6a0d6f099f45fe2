//! Losses of one's own beside the registered terms.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod projected;
mod visited;

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use kd_core::terms::kd::kd;
use kd_core::{
    Objective, ObjectiveConfig, Output, Pair, PairTaps, Part, Schedule, Step, Taps, Targets,
    Varying,
};

const STEP: Step = Step {
    epoch: 1,
    epochs: 4,
    index: 0,
};
const BATCH: usize = 4;
const WIDTHS: [usize; 2] = [3, 5];

fn device() -> Device {
    Device::flex().autodiff()
}

fn wave<const D: usize>(shape: [usize; D], phase: f32) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect();
    Tensor::from_data(TensorData::new(values, shape), &device()).require_grad()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

/// A network of three classes with an embedding of a width, and a map of as many channels.
fn network(width: usize, phase: f32) -> Output {
    let all = Taps::all();
    let mut output = Output::new(wave([BATCH, 3], phase));
    let embedding: Tensor<2> = wave([BATCH, width], phase + 0.3);
    output.push(Part::Embedding, &embedding, &all);
    let map: Tensor<4> = wave([BATCH, width, 2, 2], phase + 0.6);
    output.push(Part::Maps, &map, &all);
    output
}

fn networks() -> [Output; 2] {
    [network(WIDTHS[0], 0.1), network(WIDTHS[1], 1.2)]
}

fn targets() -> Targets {
    Targets::labels(Tensor::from_ints([0, 2, 1, 1], &device()))
}

fn read(text: &str) -> Objective {
    let config: ObjectiveConfig = serde_json::from_str(text).unwrap();
    let [student, teacher] = networks();
    config.init(&student, Some(&teacher), &device()).unwrap()
}

#[test]
fn a_function_is_a_component_with_the_gradient_of_its_formula() {
    let warm_up = Varying::LinearWarmup { to: 2.0, epochs: 4 };
    let objective = read(r#"{ "kd": { "weight": 0.9 } }"#).with_function(
        "squares",
        Schedule::Varying(warm_up),
        PairTaps::embeddings(),
        |pair, step| {
            assert_eq!(step.epoch, 1);
            let away = pair.student.logits.clone() - pair.teacher()?.logits.clone().detach();
            Ok(away.square().mean())
        },
    );
    let objective = objective.unwrap();
    assert_eq!(objective.names().collect::<Vec<_>>(), ["kd", "squares"]);
    assert_eq!(objective.taps(), PairTaps::embeddings());
    assert!(objective.needs_teacher());
    assert_eq!(objective.num_params(), 0);

    let [student, teacher] = networks();
    let targets = targets();
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    let found = objective.forward(&pair, &STEP).unwrap();
    let [s, t] = [&student, &teacher].map(|network| numbers(network.logits.clone()));
    let away: Vec<f32> = s.iter().zip(&t).map(|(s, t)| s - t).collect();
    let squares = away.iter().map(|a| a * a).sum::<f32>() / away.len() as f32;
    let soft = |student| kd(student, teacher.logits.clone(), 4.0).unwrap();
    let expected = [
        ("kd", 0.9, soft(student.logits.clone()).into_scalar::<f32>()),
        ("squares", 0.5, squares),
    ];
    assert_eq!(found.components.len(), 2);
    for (component, (name, weight, value)) in found.components.iter().zip(expected) {
        assert_eq!((component.name.as_str(), component.weight), (name, weight));
        let found: f32 = component.value.clone().into_scalar();
        assert!((found - value).abs() < 1e-6, "{name}: {found} {value}");
    }
    let sum = 0.9 * expected[0].2 + 0.5 * squares;
    let value: f32 = found.total.clone().into_scalar();
    assert!((value - sum).abs() < 1e-6, "{value} {sum}");

    // 0.9 · ∂kd / ∂s + 0.5 · 2 (s − t) / n.
    let gradient = student.logits.grad(&found.total.backward()).unwrap();
    let leaf = wave([BATCH, 3], 0.1);
    let by_kd = numbers(leaf.grad(&soft(leaf.clone()).backward()).unwrap());
    for ((found, by_kd), away) in numbers(gradient).into_iter().zip(by_kd).zip(&away) {
        let expected = 0.9 * by_kd + away / (BATCH * 3) as f32;
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
}

#[test]
fn what_a_function_cannot_work_on_is_said_with_its_name() {
    let objective =
        Objective::default().with_function("far", 1.0, PairTaps::default(), |pair, _| {
            Ok(pair.teacher()?.tokens(3)?.mean())
        });
    let objective = objective.unwrap();
    let [student, teacher] = networks();
    let targets = targets();
    let message = |teacher| {
        let pair = Pair {
            student: &student,
            teacher,
            targets: &targets,
            indices: None,
        };
        objective.forward(&pair, &STEP).unwrap_err().to_string()
    };
    assert_eq!(
        message(None),
        "objective.far: this term compares with a teacher, and the run has none"
    );
    assert_eq!(
        message(Some(&teacher)),
        "objective.far: the network's output has no level 3 of tokens (this network has 0)"
    );
}

#[test]
fn a_weight_and_a_name_that_cannot_be_are_refused() {
    let add = |objective: Objective, name: &str, weight: f64| {
        let added = objective.with_function(name, weight, PairTaps::default(), |pair, _| {
            Ok(pair.student.logits.clone().mean())
        });
        added.map(|_| ()).unwrap_err().to_string()
    };
    let kd = || read(r#"{ "kd": {} }"#);
    let message = add(kd(), "kd", 1.0);
    assert!(message.starts_with("objective.kd = "), "{message}");
    for weight in [-1.0, f64::NAN, f64::INFINITY] {
        let message = add(kd(), "mine", weight);
        assert!(message.starts_with("objective.mine.weight"), "{message}");
    }
}
