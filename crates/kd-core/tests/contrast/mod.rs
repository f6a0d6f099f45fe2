//! What holds for contrastive distillation and its memory.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use kd_core::terms::crd::{CrdConfig, crd};
use kd_core::{
    Error, ObjectiveConfig, Output, Pair, Part, Step, Taps, Term, TermConfig, TermEntry, draw,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{classes_of, close, device, leaf};

const SAMPLES: usize = 6;

/// Value and both gradients of a batch of 3 with width 2, the rows in the order given.
fn contrast(values: &[f32], order: [usize; 3]) -> (f32, Vec<f32>) {
    let rows = |from: usize| -> Vec<f32> {
        let row = |i: usize| &values[from + 2 * i..][..2];
        order.iter().flat_map(|&i| row(i)).copied().collect()
    };
    let (student, teacher) = (leaf(&rows(0), [3, 2]), leaf(&rows(6), [3, 2]));
    let memory = |from: usize| leaf(&values[from..][..12], [SAMPLES, 2]);
    let memories = [memory(12), memory(24)];
    let index: Vec<i64> = order.iter().map(|&i| [4, 0, 2][i]).collect();
    let negatives: Vec<i64> = order
        .iter()
        .flat_map(|&i| [[1, 3], [5, 5], [0, 1]][i])
        .collect();
    let loss = crd(
        [student.clone(), teacher.clone()],
        memories.clone(),
        Tensor::from_ints(index.as_slice(), &device()),
        Tensor::<1, Int>::from_ints(negatives.as_slice(), &device()).reshape([3, 2]),
        0.07,
    )
    .unwrap();
    let gradients = loss.backward();
    for memory in memories {
        assert!(memory.grad(&gradients).is_none());
    }
    let gradients = [student, teacher].map(|x| x.grad(&gradients).unwrap().into_data());
    (
        loss.into_scalar(),
        gradients.iter().flat_map(|g| g.iter::<f32>()).collect(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contrasts_are_finite_and_ignore_the_order(
        values in vec(prop_oneof![-2.0_f32..2.0, -1e15_f32..1e15, Just(0.0), Just(1.0)], 36),
    ) {
        let (value, gradient) = contrast(&values, [0, 1, 2]);
        prop_assert!(value.is_finite() && value > 0.0, "{}", value);
        prop_assert!(gradient.iter().all(|g| g.is_finite()), "{:?}", gradient);
        let (turned, _) = contrast(&values, [2, 0, 1]);
        prop_assert!(close(value, turned), "{} {}", value, turned);
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let of = |rows: usize| leaf(&vec![1.0; 2 * rows], [rows, 2]);
    let ints = |rows: usize| Tensor::<1, Int>::zeros([rows], &device());
    let call = |student, teacher, index, negatives| {
        let message = crd([student, teacher], [of(5), of(5)], index, negatives, 0.07);
        message.unwrap_err().to_string()
    };
    for message in [
        call(of(2), of(3), ints(2), ints(2).reshape([2, 1])),
        call(of(2), of(2), ints(3), ints(2).reshape([2, 1])),
        call(of(2), of(2), ints(2), ints(3).reshape([3, 1])),
        call(of(2), of(2), ints(2), Tensor::zeros([2, 0], &device())),
    ] {
        assert!(message.starts_with("crd: "), "{message}");
    }
}

fn output(values: &[f32], width: usize) -> Output {
    let batch = values.len() / width;
    let mut output = Output::new(Tensor::zeros([batch, 3], &device()));
    let embedding: Tensor<2> = leaf(values, [batch, width]);
    output.push(Part::Embedding, &embedding, &Taps::all());
    output
}

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

fn config() -> CrdConfig {
    CrdConfig {
        dim: 3,
        negatives: 40,
        samples: SAMPLES,
        ..CrdConfig::default()
    }
}

fn term(config: CrdConfig) -> Term {
    term_of(config, 5)
}

fn term_of(config: CrdConfig, seed: u64) -> Term {
    draw::seed(seed);
    TermConfig::from(config)
        .init(
            &output(&[0.0; 4], 4),
            Some(&output(&[0.0; 5], 5)),
            &device(),
        )
        .unwrap()
}

/// The loss of samples, whose features follow from their index.
fn loss_of(term: &Term, samples: &[usize], class: fn(usize) -> usize, at: usize) -> Tensor<1> {
    let rows = |width: usize, phase: f32| -> Vec<f32> {
        let row = |&i: &usize| wave(width, i as f32 + phase);
        samples.iter().flat_map(row).collect()
    };
    let (student, teacher) = (output(&rows(4, 0.1), 4), output(&rows(5, 0.7), 5));
    let labels: Vec<usize> = samples.iter().map(|&i| class(i)).collect();
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &classes_of(&labels).into(),
        indices: Some(samples),
    };
    term.forward(&pair, &step(at)).unwrap()
}

fn step(index: usize) -> Step {
    Step {
        epoch: 1,
        epochs: 1,
        index,
    }
}

fn value_of(term: &Term, samples: &[usize], at: usize) -> f32 {
    loss_of(term, samples, |i| i, at).into_scalar()
}

#[test]
fn the_order_of_the_data_does_not_matter() {
    for at in [0, 7] {
        let (one, other) = (term(config()), term(config()));
        let (first, turned) = (
            value_of(&one, &[4, 0, 2], at),
            value_of(&other, &[2, 4, 0], at),
        );
        assert!(close(first, turned), "{first} {turned}");
        // And what is remembered is the same.
        let (next, after) = (value_of(&one, &[1, 4], 8), value_of(&other, &[4, 1], 8));
        assert!(close(next, after), "{next} {after}");
    }
}

#[test]
fn a_step_repeats_its_negatives_and_another_draws_its_own() {
    let at = |seed: u64, index: usize| {
        let term = term(CrdConfig {
            seed,
            negatives: 3,
            ..config()
        });
        value_of(&term, &[4, 0, 2], index)
    };
    assert_eq!(at(0, 3), at(0, 3));
    assert_ne!(at(0, 3), at(0, 4));
    assert_ne!(at(0, 3), at(1, 3));
}

#[test]
fn memory_is_saved_with_the_term() {
    let trained = term(config());
    for (at, samples) in [[0, 1, 2], [3, 4, 5], [5, 0, 3]].into_iter().enumerate() {
        value_of(&trained, &samples, at);
    }
    // A record holds what `valid` has brought up to date.
    let record = trained.valid().into_record();
    let resumed = term_of(config(), 99).load_record(record);
    let expected = value_of(&trained, &[1, 4, 2], 3);
    assert_eq!(value_of(&resumed, &[1, 4, 2], 3), expected);
    let other = value_of(&term_of(config(), 99), &[1, 4, 2], 3);
    assert!(!close(other, expected), "{other} {expected}");
}

#[test]
fn evaluation_leaves_the_memory_alone() {
    let term = term(config());
    value_of(&term, &[0, 1, 2], 0);
    let evaluated = term.valid();
    let (student, teacher) = (wave(8, 0.3), wave(10, 0.4));
    let plain = |values: &[f32], width| output(values, width).lower();
    let (student, teacher) = (plain(&student, 4), plain(&teacher, 5));
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &classes_of(&[0, 1]).into(),
        indices: Some(&[0, 1]),
    };
    let value = || -> f32 { evaluated.forward(&pair, &step(1)).unwrap().into_scalar() };
    assert_eq!(value(), value());
}

#[test]
fn samples_of_the_same_class_are_no_negatives() {
    let after_all_were_seen = |class: fn(usize) -> usize| -> f32 {
        let term = term(config());
        for samples in [[0, 1, 2], [3, 4, 5]] {
            loss_of(&term, &samples, |_| 0, 0);
        }
        loss_of(&term, &[0, 1, 2], class, 1).into_scalar()
    };
    // Without negatives what is left is the own rows' share.
    let (alike, apart) = (after_all_were_seen(|_| 0), after_all_were_seen(|i| i + 1));
    assert!(alike > 0.0 && alike < apart - 1.0, "{alike} {apart}");
}

#[test]
fn both_layers_are_trained() {
    let term = term(config());
    let loss = loss_of(&term, &[4, 0, 2], |i| i, 0);
    let gradients = GradientsParams::from_grads(loss.backward(), &term);
    // Weight and bias of each; banks, classes and constants are buffers.
    assert_eq!(gradients.len(), 4);
}

#[test]
fn what_is_missing_is_said() {
    let (student, teacher) = (output(&wave(8, 0.1), 4), output(&wave(10, 0.2), 5));
    let term = term(config());
    let message = |indices: Option<&[usize]>| {
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &classes_of(&[0, 1]).into(),
            indices,
        };
        term.forward(&pair, &step(0)).unwrap_err()
    };
    assert_eq!(message(None), Error::NoIndices);
    let beyond = message(Some(&[0, SAMPLES])).to_string();
    let start = "crd: index 6 of a training set of samples = 6: leave `samples` out";
    assert!(beyond.starts_with(start), "{beyond}");
    assert_eq!(
        message(Some(&[0])).to_string(),
        "crd: 1 indices for a batch of 2"
    );
    let objective = |samples| {
        ObjectiveConfig::default()
            .with("far", TermEntry::new(CrdConfig::default()))
            .with_samples(samples)
            .unwrap()
    };
    let start = |samples| objective(samples).init(&student, Some(&teacher), &device());
    assert!(
        start(0)
            .unwrap_err()
            .to_string()
            .starts_with("objective.far.samples = 0: must be")
    );
    assert!(start(50).is_ok());
    // A recipe that knows of fewer than there are.
    let few = ObjectiveConfig::default().with("far", TermEntry::new(config()));
    assert_eq!(
        few.clone().with_samples(7).unwrap_err().to_string(),
        "objective.far.samples = 6: the training split has 7 images; leave the key out"
    );
    assert!(few.with_samples(6).is_ok());
}

/// Parameters and buffers of a term by their paths.
#[derive(Default)]
struct Held {
    path: Vec<String>,
    found: BTreeMap<String, Vec<f32>>,
}

impl ModuleVisitor for Held {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = param.val().into_data().iter().collect();
        self.found.insert(self.path.join("."), values);
    }

    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.into());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }
}

/// What trains and what the golden values check are one loss: the term's first batch is that of the function.
#[test]
fn a_training_step_is_the_function() {
    draw::seed(8);
    let (indices, negatives) = ([4, 0, 2], [1, 3, 5, 3]);
    let (mine, theirs) = (wave(12, 0.1), wave(15, 0.7));
    let (student, teacher) = (output(&mine, 4), output(&theirs, 5));
    let term = config().init(&student, Some(&teacher), &device()).unwrap();
    let mut held = Held::default();
    term.visit(&mut held);
    let value = |path: &str, shape: [usize; 2]| leaf::<2>(&held.found[path], shape);

    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &classes_of(&[0, 1, 2]).into(),
        indices: Some(&indices),
    };
    let trained = term.forward_with_negatives(&pair, &negatives).unwrap();
    let gradients = trained.backward();
    let of_term: Tensor<2> = student.embedding().unwrap().grad(&gradients).unwrap();

    let embedding: Tensor<2> = leaf(&mine, [3, 4]);
    let layer = |x: Tensor<2>, name: &str, width: usize| {
        let weight = value(&format!("{name}.weight"), [width, 3]);
        x.matmul(weight) + value(&format!("{name}.bias"), [1, 3])
    };
    let embeddings = [
        layer(embedding.clone(), "of_student", 4),
        layer(leaf(&theirs, [3, 5]), "of_teacher", 5),
    ];
    let banks = ["student", "teacher"].map(|side| value(&format!("memory.{side}"), [SAMPLES, 3]));
    let rows: Vec<i64> = indices.iter().map(|&i| i as i64).collect();
    let shared: Vec<i64> = (0..3).flat_map(|_| negatives.map(|n| n as i64)).collect();
    let plain = crd(
        embeddings,
        banks,
        Tensor::from_ints(rows.as_slice(), &device()),
        Tensor::<1, Int>::from_ints(shared.as_slice(), &device()).reshape([3, 4]),
        config().temperature,
    )
    .unwrap();
    let gradients = plain.backward();
    let of_function = embedding.grad(&gradients).unwrap();
    let (trained, plain): (f32, f32) = (trained.into_scalar(), plain.into_scalar());
    assert!(close(trained, plain), "{trained} {plain}");
    let off: f32 = (of_term - of_function.clone()).abs().max().into_scalar();
    let largest: f32 = of_function.abs().max().into_scalar();
    assert!(largest > 0.0 && off <= 1e-4 * largest, "{off} of {largest}");
}

#[test]
fn negatives_from_outside_must_be_samples() {
    let (student, teacher) = (output(&wave(8, 0.1), 4), output(&wave(10, 0.2), 5));
    let term = config().init(&student, Some(&teacher), &device()).unwrap();
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &classes_of(&[0, 1]).into(),
        indices: Some(&[0, 1]),
    };
    let message = |negatives: &[usize]| {
        let problem = term.forward_with_negatives(&pair, negatives);
        problem.unwrap_err().to_string()
    };
    assert_eq!(message(&[]), "crd: there are no negatives");
    assert_eq!(
        message(&[2, SAMPLES]),
        "crd: negative 6 of a training set of samples = 6"
    );
}
