//! What holds for every loss of features of one shape, maps or tokens, in one table.

use burn::tensor::{Int, Tensor, TensorData};
use kd_core::terms::ab::ab;
use kd_core::terms::byot::{ByotConfig, ByotForm, byot};
use kd_core::terms::camkd::camkd;
use kd_core::terms::cosine_hidden::cosine_hidden;
use kd_core::terms::cwd::cwd;
use kd_core::terms::fitnet::fitnet;
use kd_core::terms::fsp::fsp;
use kd_core::terms::ft::{FtForm, ft};
use kd_core::terms::ickd::ickd;
use kd_core::terms::kdsvd::kdsvd;
use kd_core::terms::ld::ld;
use kd_core::terms::lg::lg;
use kd_core::terms::mgd::mgd;
use kd_core::terms::minilm_relation::minilm_relation;
use kd_core::terms::ofd::{margins, ofd};
use kd_core::terms::pkd::pkd;
use kd_core::terms::reviewkd::hcl;
use kd_core::terms::simkd::simkd;
use kd_core::terms::srrl::{SrrlConfig, srrl};
use kd_core::terms::tinybert_attention::tinybert_attention;
use kd_core::terms::vid::vid;
use kd_core::{Classifier, Error};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{assert_finite, assert_half, close, device, evaluate, leaf, reversed};

type Loss = fn(Tensor<4>, Tensor<4>) -> Result<Tensor<1>, Error>;

struct Row {
    name: &'static str,
    loss: Loss,
    /// Entries up to this give a value that single precision can hold.
    reach: f32,
    /// Whether it is 0 at the teacher; otherwise it is smallest elsewhere.
    least: bool,
}

const fn row(name: &'static str, loss: Loss, reach: f32, least: bool) -> Row {
    Row {
        name,
        loss,
        reach,
        least,
    }
}

const TABLE: &[Row] = &[
    row("fitnet", fitnet, 1e15, true),
    row(
        "vid",
        |s, t| vid(s.clone(), t, unit_variance(&s)),
        1e15,
        true,
    ),
    row("ab", |s, t| ab(s, t, 1.0), 1e15, false),
    row("ft", |s, t| ft(s, t, FtForm::Paper), 1e18, true),
    row("fsp", |s, t| fsp([s.clone(), s], [t.clone(), t]), 1e8, true),
    row(
        "ofd",
        |s, t| ofd(s.clone(), t, slightly_off(&s)),
        1e15,
        true,
    ),
    row(
        "kdsvd",
        |s, t| kdsvd([s.clone(), s], [t.clone(), t]),
        1e18,
        true,
    ),
    row("hcl", hcl, 1e15, true),
    row("cwd", |s, t| cwd(s, t, 2.0), 1e18, true),
    row("pkd", pkd, 1e18, true),
    row("mgd", mgd, 1e15, true),
    row("ickd", ickd, 1e18, true),
    row("simkd", simkd, 1e15, true),
    row("camkd", one_teacher, 1e15, true),
    row("lg", lg, 1e15, true),
    row("srrl", read_alike, 1e15, true),
    row(
        "byot",
        |s, t| exit_features(s, t, ByotForm::Authors),
        1e15,
        true,
    ),
    row(
        "byot",
        |s, t| exit_features(s, t, ByotForm::Paper),
        1e15,
        true,
    ),
    row(
        "cosine_hidden",
        |s, t| cosine_hidden(tokens(s), tokens(t)),
        1e18,
        true,
    ),
    row(
        "minilm_relation",
        |s, t| minilm_relation(tokens(s), tokens(t), 2),
        1e15,
        true,
    ),
    row("tinybert_attention", tinybert_attention, 1e15, true),
    row("ld", |s, t| ld(tokens(s), tokens(t), 2.0), 1e18, true),
];

const SHAPE: [usize; 4] = [3, 4, 4, 2];
const COUNT: usize = 96;

fn tokens(map: Tensor<4>) -> Tensor<3> {
    map.flatten(2, 3)
}

/// An exit whose logits are the deepest classifier's.
fn exit_features(features: Tensor<4>, last: Tensor<4>, form: ByotForm) -> Result<Tensor<1>, Error> {
    let [batch, ..] = features.dims();
    // So sure of the label that neither part of logits is left.
    let sure = TensorData::new([1e3_f32, 0.0, 0.0].repeat(batch), [batch, 3]);
    let logits = Tensor::from_data(sure, (&device(), features.dtype()));
    let labels = Tensor::<1, Int>::zeros([batch], &device());
    let config = ByotConfig {
        alpha: 1.0,
        form,
        ..ByotConfig::default()
    };
    byot([logits.clone(), logits], [features, last], labels, &config)
}

/// A single teacher, whatever it says.
fn one_teacher(projected: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    let [batch, ..] = projected.dims();
    let said = Tensor::zeros([batch, 3], (&device(), projected.dtype()));
    let labels = Tensor::<1, Int>::zeros([batch], &device());
    camkd(vec![projected], vec![teacher], vec![said], &labels)
}

/// Maps as embeddings, and the teacher's logits.
fn read_alike(student: Tensor<4>, teacher: Tensor<4>) -> Result<Tensor<1>, Error> {
    let [student, teacher] = [student, teacher].map(|map| map.flatten::<2>(1, 3));
    let [_, width] = teacher.dims();
    let weights: Vec<f32> = wave(3 * width, 0.6)
        .iter()
        .map(|w| w / width as f32)
        .collect();
    let options = (&device(), teacher.dtype());
    let classifier = Classifier {
        weight: Tensor::from_data(TensorData::new(weights, [width, 3]), options),
        bias: Tensor::ones([3], options),
    };
    let logits = classifier.forward(teacher.clone())?;
    srrl(
        student,
        teacher,
        logits,
        &classifier,
        &SrrlConfig::default(),
    )
}

/// For variances of 1, whose logarithm is 0.
fn unit_variance(map: &Tensor<4>) -> Tensor<1> {
    let inverse_softplus = (1.0_f64 - 1e-5).exp_m1().ln();
    Tensor::full([4], inverse_softplus, (&device(), map.dtype()))
}

fn slightly_off(map: &Tensor<4>) -> Tensor<1> {
    Tensor::full([4], -0.5, (&device(), map.dtype()))
}

fn run(student: &[f32], teacher: &[f32], loss: Loss) -> (f32, Vec<f32>) {
    evaluate(student, SHAPE, |s| loss(s, leaf(teacher, SHAPE)))
}

/// Entries from nothing to 1, with exact repetitions, and a few at the reach of a loss.
fn entries() -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        -1.0_f32..1.0,
        -1e-6_f32..1e-6,
        -1e-15_f32..1e-15,
        Just(0.0),
        Just(1.0)
    ];
    vec(number, COUNT)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loss_is_finite(
        student in entries(),
        teacher in entries(),
        silent in 0_usize..3,
        constant in prop_oneof![-1.0_f32..1.0, Just(0.0), Just(1.0)],
        small in any::<bool>(),
    ) {
        let mut partly = student.clone();
        partly[silent * 32..][..32].fill(constant);
        let flat = vec![constant; COUNT];
        for Row { name, loss, reach, .. } in TABLE {
            let size = if small { 2.0 } else { *reach };
            let sized = |values: &[f32]| values.iter().map(|v| v * size).collect::<Vec<_>>();
            let target = sized(&teacher);
            for student in [&student, &partly, &flat] {
                let found = run(&sized(student), &target, *loss);
                prop_assert!(found.0.is_finite(), "{} {}", name, found.0);
                assert_finite(&found);
                prop_assert!(found.0 >= -1e-5 * size.max(1.0), "{} {}", name, found.0);
            }
        }
    }

    #[test]
    fn a_teacher_that_is_equal_has_nothing_to_teach(maps in vec(-2.0_f32..2.0, COUNT)) {
        for Row { name, loss, .. } in TABLE.iter().filter(|row| row.least) {
            let (value, gradient) = run(&maps, &maps, *loss);
            prop_assert!(value.abs() < 1e-6, "{} {}", name, value);
            let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            prop_assert!(largest < 1e-5, "{} {:?}", name, gradient);
        }
    }

    #[test]
    fn every_loss_ignores_the_order_of_the_batch(
        student in vec(-2.0_f32..2.0, COUNT),
        teacher in vec(-2.0_f32..2.0, COUNT),
    ) {
        let (turned, taught) = (reversed(&student, 32), reversed(&teacher, 32));
        for Row { name, loss, .. } in TABLE {
            let ((value, gradient), (other, turned)) =
                (run(&student, &teacher, *loss), run(&turned, &taught, *loss));
            prop_assert!(close(value, other), "{} {} {}", name, value, other);
            let back = reversed(&turned, 32);
            prop_assert!(gradient.iter().zip(&back).all(|(a, b)| close(*a, *b)), "{}", name);
        }
    }
}

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

#[test]
fn no_loss_reaches_the_teacher() {
    for Row { name, loss, .. } in TABLE {
        let student = leaf(&wave(COUNT, 0.2), SHAPE);
        let teacher = leaf(&wave(COUNT, 0.9), SHAPE);
        let gradients = loss(student.clone(), teacher.clone()).unwrap().backward();
        assert!(student.grad(&gradients).is_some(), "{name}");
        assert!(teacher.grad(&gradients).is_none(), "{name}");
    }
}

#[test]
fn shapes_that_make_no_sense_are_refused_by_name() {
    let of = |batch: usize| leaf(&wave(batch * 32, 0.3), [batch, 4, 4, 2]);
    for Row {
        name, loss, least, ..
    } in TABLE
    {
        for (student, teacher) in [
            (of(3), of(2)),
            (of(2), leaf(&wave(96, 0.1), [2, 6, 4, 2])),
            (of(0), of(0)),
        ] {
            let message = loss(student, teacher).unwrap_err().to_string();
            assert!(message.starts_with(&format!("{name}: ")), "{message}");
        }
        // A batch of one is as good as any.
        let alone: f32 = loss(of(1), of(1)).unwrap().into_scalar();
        assert!(alone.is_finite(), "{name} {alone}");
        assert!(!least || alone.abs() < 1e-6, "{name} {alone}");
        let single: f32 = loss(
            leaf(&[0.5, 2.0, -1.0, 0.0], [1, 4, 1, 1]),
            leaf(&[1.0, 2.0, 3.0, 0.0], [1, 4, 1, 1]),
        )
        .map_or(0.0, Tensor::into_scalar);
        assert!(single.is_finite(), "{name} {single}");
    }
}

#[test]
fn half_precision_holds_every_loss_of_ordinary_maps() {
    // As large as a stage's.
    let shape = [2, 4, 32, 32];
    for Row { name, loss, .. } in TABLE {
        // Shorter tokens, so that not every one is nearest to itself alone.
        let loss: Loss = match *name {
            "minilm_relation" => |s, t| minilm_relation(tokens(s) * 0.1, tokens(t) * 0.1, 2),
            _ => *loss,
        };
        assert_half(name, |dtype| {
            let student = crate::wave(shape, 0.2, 8.0, dtype);
            let teacher = crate::wave(shape, 0.9, 5.0, dtype);
            let value = loss(student.clone(), teacher).unwrap();
            (student, value)
        });
    }
}

#[test]
fn boundaries_cost_nothing_beyond_the_margin() {
    let teacher = leaf(&[0.3, -0.2, 5.0, -7.0], [1, 4, 1, 1]);
    for (student, expected) in [
        ([1.0, -1.0, 9.0, -1.5], 0.0),
        // On by ½ where it should be by 1; on by 2 where it should be off by 1.
        ([0.5, 2.0, 1.0, -1.0], 0.003 * (0.25 + 9.0)),
    ] {
        let found: f32 = ab(leaf(&student, [1, 4, 1, 1]), teacher.clone(), 1.0)
            .unwrap()
            .into_scalar();
        assert!((found - expected).abs() < 1e-7, "{found} {expected}");
    }
}

#[test]
fn an_overhaul_asks_of_a_silent_unit_only_to_be_silent() {
    // Margin −½. On: met in full. Off within the margin: no higher than the teacher. Off beyond it: no
    // higher than the margin.
    let teacher = leaf(&[2.0, 2.0, -0.2, -0.2, -3.0, -3.0, -3.0, 1.0], [2, 4, 1, 1]);
    let student = leaf(&[1.0, 3.0, -0.9, 0.8, -0.7, -0.1, -9.0, 1.0], [2, 4, 1, 1]);
    let found: f32 = ofd(student.clone(), teacher, slightly_off(&student))
        .unwrap()
        .into_scalar();
    let expected = (1.0 + 1.0 + 0.0 + 1.0 + 0.0 + 0.16) / 2.0;
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn margins_are_means_of_a_gaussians_negative_part() {
    // φ(0) / Φ(0) = 0.797885; φ(½) / Φ(−½) = 0.352065 / 0.308538.
    let gamma = leaf(&[1.0, -1.0, 2.0, 0.1, 0.0, 0.0], [6]);
    let beta = leaf(&[0.0, 0.0, 1.0, 1.0, -2.0, 2.0], [6]);
    let found: Vec<f32> = margins(gamma, beta).into_data().iter().collect();
    for (found, expected) in found
        .into_iter()
        .zip([-0.797885, -0.797885, -1.282151, -0.3, -2.0, 0.0])
    {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[test]
fn the_context_loss_is_the_authors() {
    let waves = |phase: f64| {
        let values: Vec<f32> = (0..384)
            .map(f64::from)
            .map(|i| (0.7 * i + phase).sin() + 0.3 * (1.3 * i + 2.0 * phase).cos())
            .map(|value| value as f32)
            .collect();
        leaf(&values, [2, 3, 8, 8])
    };
    let found: f32 = hcl(waves(0.3), waves(1.4)).unwrap().into_scalar();
    assert!((found - 0.4993596).abs() < 1e-5, "{found}");
}

#[test]
fn channels_go_together_as_the_authors_say() {
    // F·Fᵀ of the student is 1 1 / 1 2 and of the teacher 4 0 / 0 1: rows by their norms.
    let student = leaf(&[1.0, 0.0, 1.0, 1.0], [1, 2, 2, 1]);
    let teacher = leaf(&[2.0, 0.0, 0.0, 1.0], [1, 2, 2, 1]);
    let found: f32 = ickd(student, teacher).unwrap().into_scalar();
    let (a, b, c) = (0.5_f32.sqrt(), 0.2_f32.sqrt(), 0.8_f32.sqrt());
    let expected = ((a - 1.0).powi(2) + a * a + b * b + (c - 1.0).powi(2)) / 2.0;
    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
}

#[test]
fn what_is_generated_is_summed_over_a_sample() {
    let (generated, teacher) = (
        leaf(&[1.0, 2.0, 0.0, 5.0], [2, 1, 2, 1]),
        leaf(&[0.0; 4], [2, 1, 2, 1]),
    );
    let found: f32 = mgd(generated, teacher).unwrap().into_scalar();
    assert_eq!(found, (5.0 + 25.0) / 2.0);
}

#[test]
fn correlation_sees_neither_size_nor_offset() {
    let maps = wave(COUNT, 0.4);
    let moved: Vec<f32> = maps.iter().map(|v| 3.0 * v - 7.0).collect();
    let (value, _) = run(&moved, &maps, pkd);
    assert!(value.abs() < 1e-6, "{value}");
}

#[test]
fn tokens_of_zeros_have_no_direction() {
    let of = |values: &[f32]| leaf(values, [1, 1, 2]);
    let value =
        |s: &[f32], t: &[f32]| -> f32 { cosine_hidden(of(s), of(t)).unwrap().into_scalar() };
    assert_eq!(value(&[0.0, 0.0], &[0.0, 0.0]), 0.0);
    assert_eq!(value(&[0.0, 0.0], &[3.0, 0.0]), 0.5);
    assert!((value(&[1.0, 0.0], &[0.0, 2.0]) - 1.0).abs() < 1e-6);
    assert!((value(&[1.0, 0.0], &[-4.0, 0.0]) - 2.0).abs() < 1e-6);
}

#[test]
fn masked_scores_count_as_nothing() {
    let of = |values: &[f32]| leaf(values, [1, 1, 1, 2]);
    let found: f32 = tinybert_attention(of(&[1.0, -1e4]), of(&[3.0, -200.0]))
        .unwrap()
        .into_scalar();
    assert_eq!(found, 2.0);
}

#[test]
fn heads_must_divide_the_widths() {
    let of = |width: usize| leaf(&wave(2 * width, 0.1), [1, 2, width]);
    for heads in [0, 4] {
        let message = minilm_relation(of(6), of(8), heads)
            .unwrap_err()
            .to_string();
        assert_eq!(
            message,
            format!(
                "relation_heads = {heads}: must divide the widths of student and teacher, 6 and 8"
            )
        );
    }
    assert!(minilm_relation(of(6), of(8), 2).is_ok());
}
