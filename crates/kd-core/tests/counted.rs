//! Rows that do not count: the same as if they were not there.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use kd_core::{
    Error, Evaluation, Objective, ObjectiveConfig, Output, Pair, PairTaps, Part, Step, Taps,
    Targets, draw, methods,
};
use serde_json::json;

const STEP: Step = Step {
    epoch: 1,
    epochs: 4,
    index: 0,
};
const LABELS: [i64; 6] = [2, 0, 3, 1, 1, 0];
/// Where the rows stand in the training set.
const INDICES: [usize; 6] = [3, 0, 8, 5, 1, 2];
const CLASSES: usize = 4;
const WIDTHS: [usize; 2] = [3, 5];

/// Rows that count for the student and for the teacher, where they say so.
type Masks = [Option<[bool; 6]>; 2];

const STUDENTS: [bool; 6] = [true, true, false, true, true, false];
const TEACHERS: [bool; 6] = [true, false, true, true, true, true];
const SOME: [Masks; 3] = [
    [Some(STUDENTS), None],
    [None, Some(TEACHERS)],
    [Some(STUDENTS), Some(TEACHERS)],
];

fn device() -> Device {
    Device::flex().autodiff()
}

/// The rows that count.
fn rows(masks: Masks) -> Vec<usize> {
    let counts = |row: &usize| masks.iter().flatten().all(|mask| mask[*row]);
    (0..LABELS.len()).filter(counts).collect()
}

/// Numbers of rows, each by its own number; NaN in the rows that do not count.
fn values(shown: &[usize], counting: &[usize], width: usize, phase: f32) -> Tensor<2> {
    let number = |row: usize, column: usize| {
        if counting.contains(&row) {
            (1.7 * (row * width + column) as f32 + phase).sin() * 2.0
        } else {
            f32::NAN
        }
    };
    let row = |&row: &usize| (0..width).map(move |column| number(row, column));
    let values: Vec<f32> = shown.iter().flat_map(row).collect();
    let values = TensorData::new(values, [shown.len(), width]);
    Tensor::from_data(values, &device()).require_grad()
}

fn network(shown: &[usize], counting: &[usize], width: usize, phase: f32) -> Output {
    let mut output = Output::new(values(shown, counting, CLASSES, phase));
    let embedding = values(shown, counting, width, phase + 0.5);
    output.push(Part::Embedding, &embedding, &Taps::all());
    output
}

fn mask(counts: [bool; 6]) -> Tensor<1, Bool> {
    Tensor::from_data(TensorData::from(counts), &device())
}

/// A batch as a term is given it: all rows with masks, or only those that count.
struct Batch {
    student: Output,
    teacher: Output,
    targets: Targets,
    indices: Vec<usize>,
}

impl Batch {
    fn of(shown: &[usize], counting: &[usize]) -> Self {
        // Of a row that does not count the label may be none.
        let label = |row: &usize| {
            if counting.contains(row) {
                LABELS[*row]
            } else {
                -100
            }
        };
        let labels: Vec<i64> = shown.iter().map(label).collect();
        let labels = Tensor::<1, Int>::from_ints(labels.as_slice(), &device());
        Self {
            student: network(shown, counting, WIDTHS[0], 0.3),
            // As a trainer gives it: from the plain device.
            teacher: network(shown, counting, WIDTHS[1], 1.1).lower(),
            targets: Targets::labels(labels),
            indices: shown.iter().map(|row| INDICES[*row]).collect(),
        }
    }

    fn masked(masks: Masks) -> Self {
        let mut batch = Self::of(&[0, 1, 2, 3, 4, 5], &rows(masks));
        batch.student.counted = masks[0].map(mask);
        batch.teacher.counted = masks[1].map(|counts| mask(counts).inner());
        batch
    }

    fn without(masks: Masks) -> Self {
        let counting = rows(masks);
        Self::of(&counting, &counting)
    }

    fn with<T>(&self, run: impl FnOnce(&Pair) -> T) -> T {
        let teacher = self.teacher.clone().lift();
        run(&Pair {
            student: &self.student,
            teacher: Some(&teacher),
            targets: &self.targets,
            indices: Some(&self.indices),
        })
    }

    fn evaluate(&self, objective: &Objective) -> Result<Evaluation, Error> {
        self.with(|pair| objective.forward(pair, &STEP))
    }

    /// Total, components and gradients on logits and embedding, of which some get none.
    fn results(&self, objective: &Objective) -> (Vec<f32>, [Option<Vec<f32>>; 2]) {
        let found = self.evaluate(objective).unwrap();
        let gradients = found.total.backward();
        let mut numbers: Vec<f32> = vec![found.total.into_scalar()];
        let components = found.components.into_iter();
        numbers.extend(components.map(|c| c.value.into_scalar::<f32>()));
        let leaves = [
            self.student.logits.clone(),
            self.student.embedding().unwrap(),
        ];
        let of = |leaf: Tensor<2>| Some(leaf.grad(&gradients)?.into_data().iter().collect());
        (numbers, leaves.map(of))
    }
}

/// An objective of terms, built anew so that none remembers another's batch.
fn built(terms: &serde_json::Value) -> Result<Objective, Error> {
    draw::seed(7);
    let config: ObjectiveConfig = serde_json::from_value(terms.clone()).unwrap();
    let dry = Batch::of(&[0], &[0]);
    let teacher = dry.teacher.lift();
    let config = config.with_samples(9)?;
    config.init(&dry.student, Some(&teacher), &device())
}

/// Rows that do not count change no number, whatever stands in them, and get no gradient.
fn assert_left_out(terms: &serde_json::Value) {
    for masks in SOME {
        let (masked, without) = (Batch::masked(masks), Batch::without(masks));
        let (found, gradients) = masked.results(&built(terms).unwrap());
        let (expected, wanted) = without.results(&built(terms).unwrap());
        assert!(expected.iter().all(|v| v.is_finite()), "{terms}");
        assert_eq!(found, expected, "{terms} {masks:?}");
        let reached = wanted.iter().flatten().flatten();
        assert!(reached.into_iter().any(|g| *g != 0.0), "{terms}");
        let widths = [CLASSES, WIDTHS[0]];
        for ((found, wanted), width) in gradients.iter().zip(&wanted).zip(widths) {
            assert_eq!(found.is_some(), wanted.is_some(), "{terms}");
            let (Some(found), Some(wanted)) = (found, wanted) else {
                continue;
            };
            let counting = rows(masks);
            for (row, found) in found.chunks(width).enumerate() {
                let Some(at) = counting.iter().position(|counts| *counts == row) else {
                    assert!(found.iter().all(|g| *g == 0.0), "{terms} {found:?}");
                    continue;
                };
                // Gradients of several terms are added in an order of their own.
                let wanted = &wanted[at * width..][..width];
                let alike = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
                assert!(alike, "{terms} {masks:?}: {found:?} {wanted:?}");
            }
        }
    }
}

#[test]
fn an_objective_is_that_of_the_rows_that_count() {
    let terms = json!({ "cross_entropy": { "smoothing": 0.1 }, "kd": {}, "dkd": {}, "rkd": {} });
    assert_left_out(&terms);
    // A component alone is the same too.
    for masks in SOME {
        for name in ["cross_entropy", "kd", "dkd", "rkd"] {
            let alone = |batch: Batch| -> f32 {
                let objective = built(&terms).unwrap();
                let value = batch.with(|pair| objective.component(name, pair, &STEP));
                value.unwrap().into_scalar()
            };
            let [masked, without] = [Batch::masked(masks), Batch::without(masks)];
            assert_eq!(alone(masked), alone(without), "{name}");
        }
    }
}

/// Methods that read nothing but logits and labels, and those of the group that read more.
fn of_logits() -> [Vec<&'static str>; 2] {
    let group = methods().into_iter().filter(|m| m.group == "logits");
    let needs_no_more = |name: &&'static str| {
        let built = built(&json!({ *name: {} }));
        built.is_ok_and(|objective| objective.taps() == PairTaps::default())
    };
    let (alone, with_maps) = group.map(|m| m.name).partition(needs_no_more);
    [alone, with_maps]
}

#[test]
fn every_loss_of_logits_leaves_rows_out() {
    let [alone, with_maps] = of_logits();
    assert_eq!(with_maps, ["ofakd", "byot"]);
    for name in alone {
        assert_left_out(&json!({ name: {} }));
    }
}

#[test]
fn every_relation_of_embeddings_leaves_rows_out() {
    for name in ["pkt", "rkd", "cc", "crd"] {
        assert_left_out(&json!({ name: {} }));
    }
}

#[test]
fn a_batch_that_counts_as_a_whole_is_as_without_a_mask() {
    let terms = json!({ "cross_entropy": {}, "kd": {}, "rkd": {}, "crd": {} });
    let all = Some([true; 6]);
    let (found, gradients) = Batch::masked([all, all]).results(&built(&terms).unwrap());
    let (expected, wanted) = Batch::masked([None, None]).results(&built(&terms).unwrap());
    assert_eq!(found, expected);
    assert_eq!(gradients, wanted);
}

#[test]
fn a_batch_of_no_row_is_an_error_and_no_nan() {
    let [alone, _] = of_logits();
    let none = Some([false; 6]);
    let apart = [
        Some([true, false, true, false, true, false]),
        Some([false, true, false, true, false, true]),
    ];
    for name in alone.into_iter().chain(["pkt", "rkd", "cc", "crd"]) {
        for masks in [[none, None], [None, none], apart] {
            let objective = built(&json!({ name: {} })).unwrap();
            let problem = Batch::masked(masks).evaluate(&objective).unwrap_err();
            let Error::Term { name: found, cause } = problem else {
                panic!("{name}: {problem}");
            };
            assert_eq!(found, name);
            assert!(matches!(*cause, Error::Shape { .. }), "{name}: {cause}");
        }
    }
}

/// A mask of images: their maps go with their rows.
#[test]
fn maps_of_images_that_do_not_count_are_left_out_too() {
    let device = device();
    let shown = |rows: usize, side: usize| {
        let numbers = |count: usize, phase: f32| -> Tensor<1> {
            let values: Vec<f32> = (0..count).map(|i| (0.7 * i as f32 + phase).sin()).collect();
            Tensor::from_data(TensorData::new(values, [count]), &device)
        };
        let mut output = Output::new(numbers(rows * CLASSES, 0.1).reshape([rows, CLASSES]));
        let embedding: Tensor<2> = numbers(rows * 6, 0.2).reshape([rows, 6]);
        output.push(Part::Embedding, &embedding, &Taps::all());
        for level in 0..3 {
            let map: Tensor<4> =
                numbers(rows * 6 * side * side, level as f32).reshape([rows, 6, side, side]);
            output.push(Part::Maps, &map, &Taps::all());
            output.push(Part::MapsPreact, &map, &Taps::all());
        }
        output
    };
    // The last of four images is padding.
    let counts = TensorData::from([true, true, true, false]);
    let config: ObjectiveConfig = serde_json::from_value(json!({
        "reviewkd": {}, "at": {}, "fitnet": {}, "sp": {},
    }))
    .unwrap();
    draw::seed(3);
    let (student, teacher) = (shown(2, 4), shown(2, 4));
    let objective = config.init(&student, Some(&teacher), &device).unwrap();
    let value = |rows: usize, masked: bool| -> f32 {
        let (mut student, teacher) = (shown(rows, 4), shown(rows, 4));
        if masked {
            student.counted = Some(Tensor::from_data(counts.clone(), &device));
        }
        let targets = Targets::labels(Tensor::zeros([rows], &device));
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        objective.forward(&pair, &STEP).unwrap().total.into_scalar()
    };
    assert_eq!(value(4, true), value(3, false));
    assert_ne!(value(4, false), value(3, false));
}

#[test]
fn a_mask_of_another_length_is_an_error() {
    let config: ObjectiveConfig = serde_json::from_value(json!({ "kd": {} })).unwrap();
    let whole = Batch::without([None, None]);
    let teacher = whole.teacher.clone().lift();
    let objective = config
        .init(&whole.student, Some(&teacher), &device())
        .unwrap();
    for length in [5, 7] {
        let mut batch = Batch::without([None, None]);
        let marks = TensorData::new(vec![true; length], [length]);
        batch.student.counted = Some(Tensor::from_data(marks, &device()));
        let message = batch.evaluate(&objective).unwrap_err().to_string();
        let part = format!("the student marks {length} rows");
        assert!(message.contains(&part), "{message}");
    }
}

#[test]
fn a_row_counts_when_it_counts_for_every_teacher() {
    let plain = Device::flex();
    let teacher = |counts: [bool; 3]| {
        let mut output = Output::new(Tensor::ones([3, 2], &plain));
        output.counted = Some(Tensor::from_data(TensorData::from(counts), &plain));
        output
    };
    let teachers = vec![teacher([true, false, true]), teacher([true, true, false])];
    let labels = Tensor::zeros([3], &plain);
    let combined = kd_core::Combine::default()
        .apply(teachers, &labels)
        .unwrap();
    let counts: Vec<bool> = combined.counted.unwrap().into_data().iter().collect();
    assert_eq!(counts, [true, false, false]);
}
