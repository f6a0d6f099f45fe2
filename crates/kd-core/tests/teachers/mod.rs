//! What holds for a term that reads several teachers.

use burn::optim::GradientsParams;
use burn::tensor::{Int, Tensor};
use kd_core::terms::camkd::{CaMkd, CaMkdConfig, camkd};
use kd_core::{Classifier, Combine, Error, Levels, Output, Pair, Part, Step, Taps, draw};

use crate::{classes_of, device, leaf, replace};

const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};
/// Channels of both maps, of one position.
const WIDE: usize = 2;
const CLASSES: usize = 3;
const LABELS: [usize; 2] = [2, 0];

fn wave(count: usize, phase: f64) -> Vec<f64> {
    (0..count).map(|i| (1.7 * i as f64 + phase).sin()).collect()
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|v| *v as f32).collect()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

/// Two teachers' losses of two samples in double precision: `projected` and `teachers` are `[teacher, sample,
/// channel]`, a classifier says of channel `c` its value for class `c`, and 0 for the last class.
fn by_hand(projected: &[f64], teachers: &[f64]) -> f64 {
    let mut total = 0.0;
    for sample in 0..2 {
        let of = |values: &[f64], teacher: usize| {
            let start = (teacher * 2 + sample) * WIDE;
            values[start..start + WIDE].to_vec()
        };
        let surprise = |teacher: usize| {
            let mut logits = of(projected, teacher);
            logits.push(0.0);
            let sum: f64 = logits.iter().map(|z| z.exp()).sum();
            sum.ln() - logits[LABELS[sample]]
        };
        let doubt = [surprise(0).exp(), surprise(1).exp()];
        for teacher in 0..2 {
            let weight = 1.0 - doubt[teacher] / (doubt[0] + doubt[1]);
            let (own, target) = (of(projected, teacher), of(teachers, teacher));
            let squares = own.iter().zip(&target).map(|(a, b)| (a - b).powi(2));
            total += weight * squares.sum::<f64>() / WIDE as f64;
        }
    }
    total / 4.0
}

/// The loss and its gradient on what is projected.
fn computed(projected: &[f64], teachers: &[f64]) -> (f32, Vec<f32>) {
    let shape = [2, WIDE, 1, 1];
    let split = |values: &[f64]| -> Vec<Tensor<4>> {
        let halves = values.chunks(2 * WIDE);
        halves.map(|half| leaf(&single(half), shape)).collect()
    };
    let (own, targets) = (split(projected), split(teachers));
    let padding = Tensor::zeros([2, 1], &device());
    let say = |map: &Tensor<4>| Tensor::cat(vec![map.clone().flatten(1, 3), padding.clone()], 1);
    let said = own.iter().map(say).collect();
    let loss = camkd(own.clone(), targets.clone(), said, &classes_of(&[2, 0])).unwrap();
    let gradients = loss.backward();
    assert!(targets.iter().all(|map| map.grad(&gradients).is_none()));
    let slopes = own
        .iter()
        .flat_map(|map| numbers(map.grad(&gradients).unwrap()));
    (loss.into_scalar(), slopes.collect())
}

#[test]
fn a_teacher_counts_by_how_well_it_reads_what_is_projected() {
    let (projected, teachers) = (wave(8, 0.3), wave(8, 1.1));
    let (loss, slopes) = computed(&projected, &teachers);
    let wanted = by_hand(&projected, &teachers);
    assert!((f64::from(loss) - wanted).abs() < 1e-6, "{loss} {wanted}");
    // The weights have a gradient too.
    for (at, slope) in slopes.into_iter().enumerate() {
        let moved = |by: f64| {
            let mut projected = projected.clone();
            projected[at] += by;
            by_hand(&projected, &teachers)
        };
        let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((f64::from(slope) - wanted).abs() < 1e-5, "{slope} {wanted}");
    }
    // Who reads every sample rightly has all the weight: the other's distance does not matter.
    let sure = [-40.0, -40.0, 40.0, -40.0, 40.0, 40.0, -40.0, 40.0];
    let (loss, _) = computed(&sure, &[-39.0, -40.0, 40.0, -40.0, 0.0, 0.0, 0.0, 0.0]);
    assert!((loss - 0.5 / 4.0).abs() < 1e-6, "{loss}");
}

#[test]
fn what_does_not_fit_is_refused() {
    let map = || leaf(&[1.0, 2.0], [1, 2, 1, 1]);
    let logits = || leaf(&[1.0, 2.0, 0.0], [1, 3]);
    let labels = classes_of(&[1]);
    let none = camkd(Vec::new(), Vec::new(), Vec::new(), &labels);
    assert_eq!(none.unwrap_err(), Error::NoTeacher);
    for (projected, teachers, said) in [
        (vec![map()], vec![map(), map()], vec![logits()]),
        (vec![map()], vec![map()], Vec::new()),
        (
            vec![map()],
            vec![leaf(&[1.0; 4], [1, 4, 1, 1])],
            vec![logits()],
        ),
        (vec![map()], vec![map()], vec![leaf(&[1.0; 6], [2, 3])]),
    ] {
        let problem = camkd(projected, teachers, said, &labels).unwrap_err();
        assert!(problem.to_string().starts_with("camkd: "), "{problem}");
    }
}

/// A network whose classifier reads the average of its last map, after so many others.
fn network(levels: usize, [channels, side]: [usize; 2], phase: f64) -> Output {
    let shape = [2, channels, side, side];
    let map = leaf(&single(&wave(shape.iter().product(), phase)), shape);
    let embedding: Tensor<2> = map.clone().flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2);
    let classifier = Classifier {
        weight: leaf(
            &single(&wave(CLASSES * channels, phase)),
            [channels, CLASSES],
        ),
        bias: leaf(&single(&wave(CLASSES, phase)), [CLASSES]),
    };
    let mut output = Output::new(classifier.forward(embedding.clone()).unwrap());
    output.push(Part::Embedding, &embedding, &Taps::all());
    output.push(Part::Classifier, &classifier, &Taps::all());
    for _ in 1..levels {
        output.skip(Part::Maps);
    }
    output.push(Part::Maps, &map, &Taps::all());
    output
}

fn labels() -> Tensor<1, Int> {
    classes_of(&LABELS)
}

fn together(teachers: Vec<Output>) -> Output {
    Combine::default().apply(teachers, &labels()).unwrap()
}

fn term(student: &Output, teacher: &Output) -> CaMkd {
    draw::seed(4);
    let config = CaMkdConfig::default();
    config.init(student, Some(teacher), &device()).unwrap()
}

#[test]
fn teachers_of_any_shapes_are_read_side_by_side() {
    let student = network(3, [4, 6], 0.2);
    let teachers = vec![network(4, [6, 3], 0.9), network(5, [3, 8], 1.4)];
    let both = together(teachers.clone());
    assert_eq!(both.levels(Part::Maps), 0);
    let term = term(&student, &both);
    let taps = term.taps();
    assert_eq!(*taps.student.get(Part::Maps), Levels::one(2));
    let of_teachers = [3, 4].into_iter().collect();
    assert_eq!(*taps.teacher.get(Part::Maps), of_teachers);
    assert!(taps.teacher.wants(Part::Classifier, 0));
    assert!(taps.teacher.get(Part::Embedding).is_empty());

    let targets = labels().into();
    let pair = |teacher| Pair {
        student: &student,
        teacher: Some(teacher),
        targets: &targets,
        indices: None,
    };
    let loss = term.forward(&pair(&both), &STEP).unwrap();
    let gradients = loss.backward();
    let map = student.map(2).unwrap();
    assert!(
        numbers(map.grad(&gradients).unwrap())
            .iter()
            .any(|g| *g != 0.0)
    );
    for teacher in &teachers {
        let Classifier { weight, bias } = teacher.classifier().unwrap();
        assert!(weight.grad(&gradients).is_none() && bias.grad(&gradients).is_none());
    }
    // Two connectors: a convolution without a bias, and a normalisation's scale and shift.
    assert_eq!(GradientsParams::from_grads(gradients, &term).len(), 6);

    let alone = term.forward(&pair(&teachers[0]), &STEP).unwrap_err();
    let message = alone.to_string();
    assert!(
        message.contains("1 teachers show something, and the term was built for 2"),
        "{message}"
    );
}

#[test]
fn a_teacher_that_cannot_read_a_projection_is_refused() {
    let student = network(1, [4, 6], 0.2);
    let mut between = network(1, [6, 3], 0.9);
    let embedding: Tensor<2> = leaf(&single(&wave(12, 0.5)), [2, 6]);
    replace(&mut between, Part::Embedding, &embedding);
    let teacher = together(vec![network(1, [6, 3], 0.9), between]);
    let config = CaMkdConfig::default();
    let problem = config
        .init(&student, Some(&teacher), &device())
        .unwrap_err();
    let message = problem.to_string();
    assert!(
        message.starts_with("camkd: the teacher's classifier does not read the average"),
        "{message}"
    );
    assert_eq!(
        config.init(&student, None, &device()).unwrap_err(),
        Error::NoTeacher
    );
}
