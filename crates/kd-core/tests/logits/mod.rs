//! What holds for every loss of logits, in one table.

use burn::tensor::{Int, Tensor};
use kd_core::Error;
use kd_core::terms::bce::bce;
use kd_core::terms::byot::{ByotConfig, ByotForm, byot};
use kd_core::terms::ctkd::ctkd;
use kd_core::terms::deit::deit_soft;
use kd_core::terms::dist::{DistConfig, dist};
use kd_core::terms::dkd::{DkdConfig, dkd};
use kd_core::terms::gjsd::{GjsdConfig, GjsdScaling, gjsd};
use kd_core::terms::hard_labels::hard_labels;
use kd_core::terms::kd::kd;
use kd_core::terms::lskd::{lskd, standardize};
use kd_core::terms::mlkd::{MlkdConfig, MlkdMask, mlkd};
use kd_core::terms::ofakd::ofakd;
use kd_core::terms::reverse_kl::reverse_kl;
use kd_core::terms::squared_logits::squared_logits;
use kd_core::terms::wsld::wsld;
use proptest::prelude::*;

use crate::{
    Logits, assert_finite, assert_half, classes_of, close, evaluate, leaf, logits, reversed, wave,
};

type Loss = fn(Tensor<2>, Tensor<2>, Tensor<1, Int>, f64) -> Result<Tensor<1>, Error>;

/// Where a loss is smallest.
#[derive(Clone, Copy, PartialEq)]
enum Least {
    /// At the teacher, where it is 0.
    Zero,
    /// At the teacher, where it is the teacher's entropy or the like: only the gradient is 0.
    Flat,
    /// Elsewhere, or at the teacher but for a constant in its denominators.
    Elsewhere,
}

const TABLE: &[(&str, Loss, Least)] = &[
    ("kd", |s, t, _, temp| kd(s, t, temp), Least::Zero),
    (
        "dkd",
        |s, t, y, temp| dkd(s, t, y, &at_dkd(temp)),
        Least::Zero,
    ),
    ("lskd", |s, t, _, temp| lskd(s, t, temp), Least::Zero),
    ("wsld", |s, t, y, temp| wsld(s, t, y, temp), Least::Flat),
    (
        "dist",
        |s, t, _, temp| dist(s, t, &at_dist(temp)),
        Least::Elsewhere,
    ),
    (
        "reverse_kl",
        |s, t, _, temp| reverse_kl(s, t, temp),
        Least::Zero,
    ),
    (
        "gjsd",
        |s, t, _, temp| gjsd(s, t, &mixed(0.3, temp)),
        Least::Zero,
    ),
    (
        "gjsd, forward",
        |s, t, _, temp| gjsd(s, t, &mixed(0.0, temp)),
        Least::Zero,
    ),
    (
        "gjsd, reverse",
        |s, t, _, temp| gjsd(s, t, &mixed(1.0, temp)),
        Least::Zero,
    ),
    (
        "hard_labels",
        |s, t, _, _| hard_labels(s, t),
        Least::Elsewhere,
    ),
    (
        "squared_logits",
        |s, t, _, _| squared_logits(s, t),
        Least::Zero,
    ),
    ("bce", |s, t, _, temp| bce(s, t, temp), Least::Flat),
    (
        "mlkd",
        |s, t, _, _| mlkd(s, t, &masked(MlkdMask::None)),
        Least::Zero,
    ),
    (
        "mlkd, uncertain",
        |s, t, _, _| mlkd(s, t, &masked(MlkdMask::Uncertain)),
        Least::Zero,
    ),
    (
        "mlkd, confident",
        |s, t, _, _| mlkd(s, t, &masked(MlkdMask::Confident)),
        Least::Zero,
    ),
    (
        "ctkd",
        |s, t, _, temp| {
            let temperature = Tensor::from_floats([temp as f32], &s.device());
            let temperature = temperature.cast(s.dtype());
            ctkd(s, t, temperature)
        },
        Least::Zero,
    ),
    (
        "ofakd",
        |s, t, y, temp| ofakd(s, t, y, 1.0, temp),
        Least::Flat,
    ),
    (
        "ofakd, sharper",
        |s, t, y, temp| ofakd(s, t, y, 1.5, temp),
        Least::Elsewhere,
    ),
    (
        "deit_soft",
        |s, t, _, temp| deit_soft(s, t, temp),
        Least::Zero,
    ),
    (
        "byot",
        |s, t, y, temp| self_taught(s, t, y, 0.3, temp),
        Least::Elsewhere,
    ),
    (
        "byot, without labels",
        |s, t, y, temp| self_taught(s, t, y, 1.0, temp),
        Least::Flat,
    ),
    (
        "byot, as the paper, without labels",
        |s, t, y, temp| {
            let paper = self_teaching(1.0, temp, ByotForm::Paper);
            self_taught_by(s, t, y, &paper)
        },
        Least::Zero,
    ),
];

/// An exit whose features are the last map.
fn self_taught(
    exit: Tensor<2>,
    deepest: Tensor<2>,
    labels: Tensor<1, Int>,
    alpha: f64,
    temperature: f64,
) -> Result<Tensor<1>, Error> {
    let config = self_teaching(alpha, temperature, ByotForm::Authors);
    self_taught_by(exit, deepest, labels, &config)
}

fn self_teaching(alpha: f64, temperature: f64, form: ByotForm) -> ByotConfig {
    ByotConfig {
        alpha,
        temperature,
        form,
        ..ByotConfig::default()
    }
}

fn self_taught_by(
    exit: Tensor<2>,
    deepest: Tensor<2>,
    labels: Tensor<1, Int>,
    config: &ByotConfig,
) -> Result<Tensor<1>, Error> {
    let [batch, _] = exit.dims();
    let map = Tensor::ones([batch, 1, 1, 1], (&exit.device(), exit.dtype()));
    byot([exit, deepest], [map.clone(), map], labels, config)
}

fn masked(mask: MlkdMask) -> MlkdConfig {
    MlkdConfig {
        mask,
        ..MlkdConfig::default()
    }
}

fn at_dkd(temperature: f64) -> DkdConfig {
    DkdConfig {
        temperature,
        ..DkdConfig::default()
    }
}

fn at_dist(temperature: f64) -> DistConfig {
    DistConfig {
        temperature,
        ..DistConfig::default()
    }
}

fn mixed(beta: f64, temperature: f64) -> GjsdConfig {
    GjsdConfig {
        beta,
        scaling: GjsdScaling::Continuous,
        temperature,
    }
}

fn run(logits: &Logits, loss: Loss) -> (f32, Vec<f32>) {
    evaluate(&logits.student, logits.shape, |student| {
        let teacher = leaf(&logits.teacher, logits.shape);
        loss(
            student,
            teacher,
            classes_of(&logits.labels),
            logits.temperature,
        )
    })
}

/// The losses that take these logits: one class has no standard deviation to standardise by.
fn rows(logits: &Logits) -> impl Iterator<Item = &'static (&'static str, Loss, Least)> {
    let several = logits.shape[1] > 1;
    TABLE
        .iter()
        .filter(move |(name, ..)| several || *name != "lskd")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_loss_is_finite_and_not_negative(logits in logits()) {
        for (name, loss, _) in rows(&logits) {
            let found = run(&logits, *loss);
            assert_finite(&found);
            let temperature = logits.temperature as f32;
            prop_assert!(found.0 >= -1e-5 * temperature * temperature, "{} {}", name, found.0);
        }
    }

    #[test]
    fn a_teacher_that_is_equal_has_nothing_to_teach(logits in logits()) {
        let same = logits.taught_by_itself();
        let temperature = logits.temperature as f32;
        for (name, loss, least) in rows(&logits).filter(|row| row.2 != Least::Elsewhere) {
            let (value, gradient) = run(&same, *loss);
            if *least == Least::Zero {
                let rounding = 1e-6 * temperature * temperature;
                prop_assert!(value.abs() <= rounding, "{} {}", name, value);
            }
            let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            prop_assert!(largest < 1e-5 * temperature.max(10.0), "{} {:?}", name, gradient);
        }
    }

    #[test]
    fn every_loss_ignores_the_order_of_the_batch(logits in logits()) {
        let turned = logits.reversed();
        for (name, loss, _) in rows(&logits) {
            let ((value, gradient), (other, turned)) = (run(&logits, *loss), run(&turned, *loss));
            prop_assert!(close(value, other), "{} {} {}", name, value, other);
            let back = reversed(&turned, logits.shape[1]);
            let largest = gradient.iter().fold(1.0_f32, |m, g| m.max(g.abs()));
            let alike = gradient.iter().zip(&back).all(|(a, b)| (a - b).abs() <= 1e-4 * largest);
            prop_assert!(alike, "{} {:?} {:?}", name, gradient, back);
        }
    }
}

/// Ordinary logits, no two of them alike.
fn ordinary() -> Logits {
    let wave = |phase: f32| (0..20).map(|i| (1.7 * i as f32 + phase).sin()).collect();
    Logits {
        shape: [4, 5],
        student: wave(0.3),
        teacher: wave(1.1),
        labels: vec![0, 3, 1, 4],
        temperature: 2.0,
    }
}

#[test]
fn half_precision_holds_every_loss_of_ordinary_logits() {
    let labels = classes_of(&[0, 3, 1, 4, 9, 9, 2, 7]);
    for (name, loss, _) in TABLE {
        assert_half(name, |dtype| {
            let student = wave([8, 10], 0.3, 8.0, dtype);
            let teacher = wave([8, 10], 0.9, 8.0, dtype);
            let value = loss(student.clone(), teacher, labels.clone(), 4.0).unwrap();
            (student, value)
        });
    }
}

#[test]
fn no_loss_reaches_the_teacher() {
    let logits = ordinary();
    for (name, loss, _) in TABLE {
        let (student, teacher) = (
            leaf(&logits.student, logits.shape),
            leaf(&logits.teacher, logits.shape),
        );
        let labels = classes_of(&logits.labels);
        let value = loss(student.clone(), teacher.clone(), labels, 2.0).unwrap();
        let gradients = value.backward();
        assert!(student.grad(&gradients).is_some(), "{name}");
        assert!(teacher.grad(&gradients).is_none(), "{name}");
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused_by_name() {
    for (name, loss, _) in TABLE {
        let message = loss(
            leaf(&[1.0; 6], [2, 3]),
            leaf(&[1.0; 8], [2, 4]),
            classes_of(&[0, 0]),
            2.0,
        )
        .unwrap_err()
        .to_string();
        let name = name.split(',').next().unwrap();
        assert!(
            message.starts_with(&format!("{name}: the student")),
            "{message}"
        );
    }
}

/// `sin(0.7 i + phase) + 0.3 cos(1.3 i + 2 phase)`, times `scale`.
fn waves(phase: f64, scale: f64) -> Tensor<2> {
    let values: Vec<f32> = (0..20)
        .map(f64::from)
        .map(|i| scale * ((0.7 * i + phase).sin() + 0.3 * (1.3 * i + 2.0 * phase).cos()))
        .map(|value| value as f32)
        .collect();
    leaf(&values, [4, 5])
}

#[test]
fn values_of_the_methods_own_code() {
    let part = |beta, gamma, temperature| {
        let config = DistConfig {
            beta,
            gamma,
            temperature,
        };
        dist(waves(0.1, 2.0), waves(1.1, 3.0), &config)
    };
    for (name, found, expected) in [
        (
            "lskd",
            lskd(waves(0.1, 2.0), waves(1.1, 3.0), 2.0),
            0.2812552385259022,
        ),
        ("samples, T = 1", part(1.0, 0.0, 1.0), 0.4176539790588353),
        ("classes, T = 1", part(0.0, 1.0, 1.0), 0.36723784595066467),
        ("samples, T = 4", part(1.0, 0.0, 4.0), 5.706266329868473),
        ("classes, T = 4", part(0.0, 1.0, 4.0), 5.221745503589499),
    ] {
        let found = f64::from(found.unwrap().into_scalar::<f32>());
        kd_goldens::assert_close(name, found, expected, 1e-5, 0.0);
    }
}

#[test]
fn dist_sees_pattern_and_not_size() {
    let mut logits = ordinary().taught_by_itself();
    let itself = run(&logits, |s, t, _, _| dist(s, t, &DistConfig::default()));
    assert!(itself.0.abs() < 1e-5, "{}", itself.0);
    // Mixing in the uniform distribution changes no correlation.
    logits.teacher = softened(&logits.student, logits.shape);
    let softer = run(&logits, |s, t, _, _| dist(s, t, &DistConfig::default()));
    assert!(softer.0.abs() < 1e-5, "{}", softer.0);
    let one = Logits {
        shape: [1, 5],
        student: ordinary().student[..5].to_vec(),
        teacher: ordinary().student[..5].to_vec(),
        ..ordinary()
    };
    // A batch of one has no columns to compare: they add their weight.
    let alone = run(&one, |s, t, _, _| dist(s, t, &DistConfig::default()));
    assert!((alone.0 - 1.0).abs() < 1e-5, "{}", alone.0);
}

/// Logits whose softmax is half of the given logits' and half uniform.
fn softened(logits: &[f32], [_, classes]: [usize; 2]) -> Vec<f32> {
    logits
        .chunks(classes)
        .flat_map(|row| {
            let sum: f32 = row.iter().map(|z| z.exp()).sum();
            row.iter()
                .map(move |z| (0.5 * z.exp() / sum + 0.5 / classes as f32).ln())
                .collect::<Vec<_>>()
        })
        .collect()
}

#[test]
fn the_mixture_meets_both_divergences() {
    let mut logits = ordinary();
    logits.teacher.iter_mut().for_each(|z| *z *= 3.0);
    let at = |beta: f64| {
        let value = evaluate(&logits.student, logits.shape, |s| {
            gjsd(s, leaf(&logits.teacher, logits.shape), &mixed(beta, 2.0))
        });
        value.0
    };
    let (forward, reverse) = (
        run(&logits, |s, t, _, temp| kd(s, t, temp)).0,
        run(&logits, |s, t, _, temp| reverse_kl(s, t, temp)).0,
    );
    assert!((forward - reverse).abs() > 1e-2);
    assert_eq!((at(0.0), at(1.0)), (forward, reverse));
    assert!((at(2e-3) - forward).abs() < 1e-2 * forward);
    assert!((at(1.0 - 2e-3) - reverse).abs() < 1e-2 * reverse);
    for beta in [0.0, 1.0] {
        let config = GjsdConfig {
            beta,
            ..GjsdConfig::default()
        };
        let message = gjsd(
            leaf(&logits.student, logits.shape),
            leaf(&logits.teacher, logits.shape),
            &config,
        );
        let message = message.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("beta = {beta}: ")),
            "{message}"
        );
        assert!(message.contains("continuous"), "{message}");
    }
}

#[test]
fn standardised_logits_have_no_offset_or_scale() {
    let logits = ordinary();
    let moved: Vec<f32> = logits.teacher.iter().map(|z| 7.0 * z - 3.0).collect();
    let plain = standardize(leaf(&logits.teacher, [4, 5])).unwrap();
    let other = standardize(leaf(&moved, [4, 5])).unwrap();
    let difference: f32 = (plain.clone() - other).abs().max().into_scalar();
    assert!(difference < 1e-5, "{difference}");
    let squares: f32 = plain.square().mean().into_scalar();
    assert!((squares - 0.8).abs() < 1e-5, "unbiased: {squares}");
    let flat = evaluate(&[3.0; 5], [1, 5], |s| {
        lskd(s, leaf(&logits.teacher[..5], [1, 5]), 2.0)
    });
    assert!(flat.0 > 0.0);
    assert_eq!(flat.1, [0.0; 5]);
    let one = leaf(&[1.0, 2.0], [2, 1]);
    let message = lskd(one.clone(), one, 2.0).unwrap_err().to_string();
    assert!(message.contains("no standard deviation"), "{message}");
}
