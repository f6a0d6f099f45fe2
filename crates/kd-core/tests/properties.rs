//! What holds for every input of a loss.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod adapters;
mod classifier;
mod congruence;
mod contrast;
mod exits;
mod features;
mod levels;
mod logits;
mod maps;
mod padding;
mod relations;
mod resumed;
mod teachers;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use kd_core::terms::cross_entropy::cross_entropy;
use kd_core::terms::dkd::{DkdConfig, dkd};
use kd_core::terms::fitnet::fitnet;
use kd_core::terms::kd::kd;
use kd_core::terms::rkd::{rkd_angle, rkd_distance};
use kd_core::{Error, Output, Part, PartValue, Taps};
use proptest::collection::vec;
use proptest::prelude::*;

fn device() -> Device {
    Device::flex().autodiff()
}

fn leaf<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
    let data = TensorData::new(values.to_vec(), shape);
    Tensor::from_data(data, &device()).require_grad()
}

fn classes_of(labels: &[usize]) -> Tensor<1, Int> {
    let labels: Vec<i64> = labels.iter().map(|&l| l as i64).collect();
    Tensor::from_ints(labels.as_slice(), &device())
}

/// Shows something else as the only level of a part.
fn replace<T: Clone + Into<PartValue>>(output: &mut Output, part: Part, value: &T) {
    output.remove(part);
    output.push(part, value, &Taps::all());
}

/// Value of a loss and its gradient by the student.
fn evaluate<const D: usize>(
    student: &[f32],
    shape: [usize; D],
    loss: impl Fn(Tensor<D>) -> Result<Tensor<1>, Error>,
) -> (f32, Vec<f32>) {
    let student = leaf(student, shape);
    let loss = loss(student.clone()).expect("a loss");
    let gradients = loss.backward();
    let gradient = student.grad(&gradients).expect("a gradient").into_data();
    (loss.into_scalar(), gradient.iter::<f32>().collect())
}

fn assert_finite((value, gradient): &(f32, Vec<f32>)) {
    assert!(value.is_finite(), "value {value}");
    assert!(
        gradient.iter().all(|g| g.is_finite()),
        "gradient {gradient:?}"
    );
}

/// Ordinary numbers of some size in some precision, no two of them alike.
fn wave<const D: usize>(shape: [usize; D], phase: f32, size: f32, dtype: DType) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| size * (1.7 * i as f32 + phase).sin())
        .collect();
    Tensor::from_data(TensorData::new(values, shape), (&device(), dtype)).require_grad()
}

/// A loss in half precision, with its student's leaf, has finite gradients, the type of its input, and the value
/// that it has in single precision, as far as the digits go.
fn assert_half<const D: usize>(name: &str, loss: impl Fn(DType) -> (Tensor<D>, Tensor<1>)) {
    let of = |dtype| {
        let (student, value) = loss(dtype);
        let gradients = value.backward();
        let gradient = student.grad(&gradients).unwrap().into_data();
        assert!(
            gradient.iter::<f32>().all(|g| g.is_finite()),
            "{name} {dtype:?}"
        );
        assert_eq!(value.dtype(), dtype, "{name}");
        value.into_data().iter::<f32>().next().unwrap()
    };
    let precise = of(DType::F32);
    for (dtype, share) in [(DType::F16, 0.02), (DType::BF16, 0.1)] {
        let value = of(dtype);
        // A divergence near 0 is a sum that cancels: its digits are those of what cancelled.
        let off = (value - precise).abs() / precise.abs().max(0.01);
        assert!(off < share, "{name} {dtype:?}: {value} for {precise}");
    }
}

/// Rows in reverse order.
fn reversed<T: Clone>(values: &[T], width: usize) -> Vec<T> {
    values.rchunks(width).flatten().cloned().collect()
}

#[derive(Clone, Debug)]
struct Logits {
    shape: [usize; 2],
    student: Vec<f32>,
    teacher: Vec<f32>,
    labels: Vec<usize>,
    temperature: f64,
}

/// Logits that range from ordinary to saturated, with exact repetitions among them.
fn logits() -> impl Strategy<Value = Logits> {
    let number = prop_oneof![
        -5.0_f32..5.0,
        -1e4_f32..1e4,
        Just(0.0),
        Just(1e4),
        Just(-1e4)
    ];
    (1_usize..5, 1_usize..6, 0.5_f64..20.0).prop_flat_map(move |(batch, classes, temperature)| {
        let numbers = || vec(number.clone(), batch * classes);
        (numbers(), numbers(), vec(0..classes, batch)).prop_map(
            move |(student, teacher, labels)| Logits {
                shape: [batch, classes],
                student,
                teacher,
                labels,
                temperature,
            },
        )
    })
}

impl Logits {
    fn reversed(&self) -> Self {
        Self {
            student: reversed(&self.student, self.shape[1]),
            teacher: reversed(&self.teacher, self.shape[1]),
            labels: reversed(&self.labels, 1),
            ..self.clone()
        }
    }

    fn taught_by_itself(&self) -> Self {
        Self {
            teacher: self.student.clone(),
            ..self.clone()
        }
    }

    fn kd(&self) -> (f32, Vec<f32>) {
        evaluate(&self.student, self.shape, |student| {
            kd(student, leaf(&self.teacher, self.shape), self.temperature)
        })
    }

    fn dkd(&self) -> (f32, Vec<f32>) {
        let config = DkdConfig {
            temperature: self.temperature,
            ..DkdConfig::default()
        };
        evaluate(&self.student, self.shape, |student| {
            let teacher = leaf(&self.teacher, self.shape);
            dkd(student, teacher, classes_of(&self.labels), &config)
        })
    }

    fn cross_entropy(&self) -> (f32, Vec<f32>) {
        evaluate(&self.student, self.shape, |student| {
            cross_entropy(student, classes_of(&self.labels), 0.1)
        })
    }
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-4 * a.abs().max(b.abs()).max(1.0)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn logit_losses_are_finite_and_not_negative(logits in logits()) {
        for found in [logits.kd(), logits.dkd(), logits.cross_entropy()] {
            assert_finite(&found);
            // The divergence of equal rows is a sum of terms that cancel up to rounding.
            let temperature = logits.temperature as f32;
            prop_assert!(found.0 >= -1e-5 * temperature * temperature, "{}", found.0);
        }
    }

    #[test]
    fn a_student_that_equals_its_teacher_has_nothing_to_learn(logits in logits()) {
        let same = logits.taught_by_itself();
        for (value, gradient) in [same.kd(), same.dkd()] {
            prop_assert_eq!(value, 0.0);
            let largest = gradient.iter().fold(0.0_f32, |m, g| m.max(g.abs()));
            prop_assert!(largest < 1e-4, "{:?}", gradient);
        }
    }

    #[test]
    fn the_order_of_the_batch_does_not_matter(logits in logits()) {
        let turned = logits.reversed();
        let pairs = [
            (logits.kd(), turned.kd()),
            (logits.dkd(), turned.dkd()),
            (logits.cross_entropy(), turned.cross_entropy()),
        ];
        for ((value, gradient), (other, turned)) in pairs {
            prop_assert!(close(value, other), "{} {}", value, other);
            let back = reversed(&turned, logits.shape[1]);
            prop_assert!(gradient.iter().zip(&back).all(|(a, b)| close(*a, *b)));
        }
    }

    #[test]
    fn hints_are_finite_and_vanish_at_the_target(
        values in vec(-1e4_f32..1e4, 24),
        constant in -1e4_f32..1e4,
    ) {
        let shape = [2, 3, 2, 2];
        let flat = vec![constant; 24];
        let towards = |target: &[f32]| {
            evaluate(&values, shape, |student| fitnet(student, leaf(target, shape)))
        };
        assert_finite(&towards(&flat));
        prop_assert_eq!(towards(&values), (0.0, vec![0.0; 24]));
    }
}

#[test]
fn two_classes_and_a_saturated_student_stay_finite_in_dkd() {
    let logits = Logits {
        shape: [2, 2],
        student: vec![1e4, -1e4, -1e4, 1e4],
        teacher: vec![-3.0, 2.0, 1.0, -1.0],
        labels: vec![0, 0],
        temperature: 1.0,
    };
    let found = logits.dkd();
    assert_finite(&found);
    // With two classes all that is left is the target against the other: plain KD.
    assert!(close(found.0, logits.kd().0));
}

#[test]
fn no_gradient_reaches_the_teacher() {
    let shape = [3, 4];
    let values: Vec<f32> = (0..12).map(|i| (i * i % 7) as f32).collect();
    let turned = reversed(&values, 4);
    let labels = classes_of(&[0, 3, 1]);
    let by_teacher = |loss: &dyn Fn(Tensor<2>, Tensor<2>) -> Result<Tensor<1>, Error>| {
        let (student, teacher) = (leaf(&values, shape), leaf(&turned, shape));
        let gradients = loss(student.clone(), teacher.clone()).unwrap().backward();
        assert!(student.grad(&gradients).is_some());
        teacher.grad(&gradients).is_some()
    };
    assert!(!by_teacher(&|s, t| kd(s, t, 4.0)));
    assert!(!by_teacher(&|s, t| dkd(
        s,
        t,
        labels.clone(),
        &DkdConfig::default()
    )));
    assert!(!by_teacher(&rkd_distance));
    assert!(!by_teacher(&rkd_angle));
    assert!(!by_teacher(&|s, t| fitnet(
        s.reshape([3, 4, 1, 1]),
        t.reshape([3, 4, 1, 1])
    )));
}

#[test]
fn labels_may_lie_on_the_plain_device() {
    let labels = Tensor::<1, Int>::from_ints([1, 0], &Device::flex());
    let student = leaf(&[1.0, 2.0, 3.0, 0.5, 0.0, 1.0], [2, 3]);
    let teacher = leaf(&[0.0, 2.0, 1.0, 0.5, 3.0, 1.0], [2, 3]);
    for loss in [
        cross_entropy(student.clone(), labels.clone(), 0.1),
        dkd(
            student.clone(),
            teacher,
            labels.clone(),
            &DkdConfig::default(),
        ),
    ] {
        let gradients = loss.unwrap().backward();
        assert!(student.grad(&gradients).is_some());
    }
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let two = || leaf(&[1.0; 6], [2, 3]);
    let other = || leaf(&[1.0; 8], [2, 4]);
    let empty = || Tensor::<2>::zeros([0, 3], &device());
    let labels = classes_of(&[0]);
    let message = |result: Result<Tensor<1>, Error>| result.unwrap_err().to_string();
    assert_eq!(
        message(kd(two(), other(), 4.0)),
        "kd: the student has shape [2, 3] and the teacher [2, 4]"
    );
    assert_eq!(
        message(cross_entropy(two(), labels.clone(), 0.0)),
        "cross_entropy: 1 labels for logits of shape [2, 3]"
    );
    assert_eq!(
        message(dkd(two(), two(), labels, &DkdConfig::default())),
        "dkd: 1 labels for logits of shape [2, 3]"
    );
    assert_eq!(
        message(kd(empty(), empty(), 4.0)),
        "kd: a tensor of shape [0, 3] holds no numbers"
    );
    assert_eq!(
        message(kd(two(), two(), 0.0)),
        "temperature = 0: must be a number above 0"
    );
    assert_eq!(
        message(cross_entropy(two(), classes_of(&[0, 1]), 1.0)),
        "smoothing = 1: must be at least 0 and below 1"
    );
}
