//! What holds for every loss of maps and embeddings, in one table.

use burn::tensor::{Int, Tensor};
use kd_core::terms::at::{AtConfig, AtScaling, at};
use kd_core::terms::cc::{CcConfig, CcKernel, cc};
use kd_core::terms::ft::{FtForm, ft};
use kd_core::terms::nst::nst;
use kd_core::terms::pkt::pkt;
use kd_core::terms::sp::{SpConfig, sp};
use kd_core::{Error, Levels, Output, Pair, Part, Step, Taps, TermConfig};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{assert_finite, assert_half, close, device, evaluate, leaf, reversed};

type Loss = fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>, Error>;

const TABLE: &[(&str, Loss)] = &[
    ("at", |s, t| at(s, t, AtScaling::Mean)),
    ("at", |s, t| at(s, t, AtScaling::Paper)),
    ("nst", nst),
    ("sp", sp),
    ("pkt", |s, t| pkt(s.flatten(1, 3), t.flatten(1, 3))),
    ("ft", |s, t| ft(s, t, FtForm::Attention)),
    ("cc", |s, t| correlate(s, t, CcKernel::Rbf)),
    ("cc", |s, t| correlate(s, t, CcKernel::Bilinear)),
    ("cc", |s, t| correlate(s, t, CcKernel::Linear)),
];

fn correlate(s: Tensor<4>, t: Tensor<4>, kernel: CcKernel) -> Result<Tensor<1>, Error> {
    let config = CcConfig {
        kernel,
        ..CcConfig::default()
    };
    cc(s.flatten(1, 3), t.flatten(1, 3), &config)
}

/// Losses that compare samples, which a batch of one does not have.
const OF_SAMPLES: &[&str] = &["sp", "pkt", "cc"];

const STUDENT: [usize; 4] = [3, 2, 4, 2];
const TEACHER: [usize; 4] = [3, 5, 2, 4];

fn count(shape: [usize; 4]) -> usize {
    shape.iter().product()
}

fn run(student: &[f32], teacher: &[f32], loss: Loss) -> (f32, Vec<f32>) {
    let shape = if teacher.len() == count(TEACHER) {
        TEACHER
    } else {
        STUDENT
    };
    evaluate(student, STUDENT, |s| loss(s, leaf(teacher, shape)))
}

/// Entries from nothing to huge.
fn entries(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        -2.0_f32..2.0,
        -1e4_f32..1e4,
        -1e18_f32..1e18,
        -1e-15_f32..1e-15,
        Just(0.0),
        Just(1e4)
    ];
    vec(number, count)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loss_is_finite(
        student in entries(count(STUDENT)),
        teacher in entries(count(TEACHER)),
        silent in 0_usize..3,
        constant in prop_oneof![-1e4_f32..1e4, Just(0.0), Just(1.0)],
    ) {
        let mut partly = student.clone();
        partly[silent * 16..][..16].fill(constant);
        let flat = vec![constant; count(STUDENT)];
        for (name, loss) in TABLE {
            for student in [&student, &partly, &flat] {
                let found = run(student, &teacher, *loss);
                assert_finite(&found);
                prop_assert!(found.0 >= -1e-5, "{} {}", name, found.0);
            }
        }
    }

    #[test]
    fn a_teacher_that_is_equal_has_nothing_to_teach(maps in vec(-2.0_f32..2.0, count(STUDENT))) {
        for (name, loss) in TABLE {
            let (value, gradient) = run(&maps, &maps, *loss);
            prop_assert!(value.abs() < 1e-6, "{} {}", name, value);
            let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            prop_assert!(largest < 1e-4, "{} {:?}", name, gradient);
        }
    }

    #[test]
    fn every_loss_ignores_the_order_of_the_batch(
        student in vec(-2.0_f32..2.0, count(STUDENT)),
        teacher in vec(-2.0_f32..2.0, count(TEACHER)),
    ) {
        let (turned, taught) = (reversed(&student, 16), reversed(&teacher, 40));
        for (name, loss) in TABLE {
            let ((value, gradient), (other, turned)) =
                (run(&student, &teacher, *loss), run(&turned, &taught, *loss));
            prop_assert!(close(value, other), "{} {} {}", name, value, other);
            let back = reversed(&turned, 16);
            prop_assert!(gradient.iter().zip(&back).all(|(a, b)| close(*a, *b)), "{}", name);
        }
    }
}

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

/// `sin(0.7 i + phase) + 0.3 cos(1.3 i + 2 phase)`.
fn waves<const D: usize>(shape: [usize; D], phase: f64) -> Tensor<D> {
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|i: usize| i as f64)
        .map(|i| (0.7 * i + phase).sin() + 0.3 * (1.3 * i + 2.0 * phase).cos())
        .map(|value| value as f32)
        .collect();
    leaf(&values, shape)
}

#[test]
fn values_of_the_methods_own_code() {
    let maps = || (waves([2, 3, 4, 4], 0.3), waves([2, 5, 4, 4], 1.4));
    let small = (waves([4, 3, 2, 2], 0.3), waves([4, 5, 2, 2], 1.4));
    for (name, found, expected) in [
        (
            "at",
            at(maps().0, maps().1, AtScaling::Mean),
            0.016401098295233806,
        ),
        ("nst", nst(maps().0, maps().1), 0.18370380812486642),
        ("sp", sp(small.0, small.1), 0.23486367340755432),
        (
            "pkt",
            pkt(waves([4, 6], 0.2), waves([4, 8], 0.9)),
            0.055643470404942094,
        ),
    ] {
        let found = f64::from(found.unwrap().into_scalar::<f32>());
        kd_goldens::assert_close(name, found, expected, 1e-5, 0.0);
    }
}

#[test]
fn the_papers_scaling_is_half_of_the_distance() {
    // Squared and at length 1, these attend by [1, 0] and [0.6, 0.8].
    let student = leaf(&[5.0, 0.0], [1, 1, 1, 2]);
    let teacher = leaf(&[3.0_f32.sqrt(), -2.0], [1, 1, 1, 2]);
    let found: f32 = at(student, teacher, AtScaling::Paper)
        .unwrap()
        .into_scalar();
    assert!((found - 0.5 * 0.8_f32.sqrt()).abs() < 1e-6, "{found}");
}

#[test]
fn half_precision_holds_maps_whose_squares_it_cannot() {
    for (name, loss) in TABLE {
        assert_half(name, |dtype| {
            let student = crate::wave(STUDENT, 0.2, 300.0, dtype);
            let teacher = crate::wave(TEACHER, 0.9, 400.0, dtype);
            let value = loss(student.clone(), teacher).unwrap();
            (student, value)
        });
    }
}

#[test]
fn no_loss_reaches_the_teacher() {
    for (name, loss) in TABLE {
        let student = leaf(&wave(count(STUDENT), 0.2), STUDENT);
        let teacher = leaf(&wave(count(TEACHER), 0.9), TEACHER);
        let gradients = loss(student.clone(), teacher.clone()).unwrap().backward();
        assert!(student.grad(&gradients).is_some(), "{name}");
        assert!(teacher.grad(&gradients).is_none(), "{name}");
    }
}

#[test]
fn batches_that_make_no_sense_are_refused_by_name() {
    let of = |batch: usize| leaf(&vec![1.0; batch * 4], [batch, 1, 2, 2]);
    for (name, loss) in TABLE {
        let message = loss(of(3), of(2)).unwrap_err().to_string();
        assert!(message.starts_with(name), "{message}");
        assert!(message.contains("batch sizes differ"), "{message}");
        let message = loss(of(0), of(0)).unwrap_err().to_string();
        assert!(message.contains("holds no numbers"), "{message}");
        let alone = loss(of(1), of(1));
        if OF_SAMPLES.contains(name) {
            assert!(alone.unwrap_err().to_string().contains("at least 2"))
        } else {
            assert_eq!(alone.unwrap().into_scalar::<f32>(), 0.0, "{name}")
        }
    }
}

#[test]
fn a_map_is_compared_at_the_smaller_size() {
    let small = wave(2 * 3 * 4, 0.4);
    // Every number four times, as a map twice as high and wide.
    let large: Vec<f32> = small
        .chunks(2)
        .flat_map(|row| {
            let wide: Vec<f32> = row.iter().flat_map(|v| [*v, *v]).collect();
            [wide.clone(), wide].concat()
        })
        .collect();
    for loss in [TABLE[0].1, TABLE[1].1, TABLE[2].1] {
        for (student, teacher) in [(&small, &large), (&large, &small)] {
            let of = |values: &[f32]| {
                if values.len() == small.len() {
                    leaf(values, [2, 3, 2, 2])
                } else {
                    leaf(values, [2, 3, 4, 4])
                }
            };
            let value: f32 = loss(of(student), of(teacher)).unwrap().into_scalar();
            assert!(value.abs() < 1e-6, "{value}");
        }
    }
}

/// A network whose map of every level has one channel more than the one before.
fn network(levels: usize, batch: usize) -> Output {
    let mut output = Output::new(Tensor::zeros([batch, 3], &device()));
    for level in 0..levels {
        let map: Tensor<4> = leaf(
            &wave(batch * (level + 1) * 4, level as f32),
            [batch, level + 1, 2, 2],
        );
        output.push(Part::Maps, &map, &Taps::all());
    }
    let embedding = Tensor::<2>::ones([batch, 4], &device());
    output.push(Part::Embedding, &embedding, &Taps::all());
    output
}

#[test]
fn networks_meet_at_their_last_level() {
    let (student, teacher) = (network(3, 2), network(5, 2));
    for (listed, of_student, of_teacher) in [
        (vec![], vec![1, 2], vec![3, 4]),
        (vec![2], vec![2], vec![4]),
        (vec![0, 2], vec![0, 2], vec![2, 4]),
    ] {
        let config = AtConfig {
            levels: listed,
            ..AtConfig::default()
        };
        let term = TermConfig::from(config)
            .init(&student, Some(&teacher), &device())
            .unwrap();
        assert_eq!(
            *term.taps().student.get(Part::Maps),
            of_student.iter().copied().collect()
        );
        assert_eq!(
            *term.taps().teacher.get(Part::Maps),
            of_teacher.iter().copied().collect()
        );
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &Tensor::<1, Int>::zeros([2], &device()).into(),
            indices: None,
        };
        let step = Step {
            epoch: 1,
            epochs: 1,
            index: 0,
        };
        let found: f32 = term.forward(&pair, &step).unwrap().into_scalar();
        let expected: f32 = of_student
            .iter()
            .zip(&of_teacher)
            .map(|(s, t)| {
                let (s, t) = (student.map(*s), teacher.map(*t));
                at(s.unwrap(), t.unwrap(), AtScaling::Mean)
                    .unwrap()
                    .into_scalar::<f32>()
            })
            .sum();
        assert!(found > 0.0 && close(found, expected), "{found} {expected}");
    }
}

#[test]
fn similarity_reads_the_last_map() {
    let (student, teacher) = (network(3, 1), network(5, 1));
    let term = TermConfig::from(SpConfig::default())
        .init(&student, Some(&teacher), &device())
        .unwrap();
    assert_eq!(*term.taps().student.get(Part::Maps), Levels::one(2));
    assert_eq!(*term.taps().teacher.get(Part::Maps), Levels::one(4));
    let message = TermConfig::from(SpConfig::default())
        .init(&network(0, 1), Some(&teacher), &device())
        .unwrap_err();
    assert_eq!(message.to_string(), "the network's output has no maps");
}

#[test]
fn levels_that_are_not_there_are_refused() {
    let message = |levels: &[usize], student: usize, teacher: usize| {
        let config = AtConfig {
            levels: levels.to_vec(),
            ..AtConfig::default()
        };
        TermConfig::from(config)
            .init(&network(student, 1), Some(&network(teacher, 1)), &device())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&[3], 3, 5),
        "levels = [3]: the levels of the student that the teacher has too are 0 to 2, counted from \
         the last"
    );
    assert!(message(&[1], 5, 3).contains("are 2 to 4"));
    assert!(message(&[1, 1], 3, 3).contains("1 is listed twice"));
    assert!(message(&[], 0, 3).contains("the student has no feature maps"));
    assert!(message(&[], 3, 1).contains("no map but its stem's"));
}
