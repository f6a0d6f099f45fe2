//! Several teachers as one: the mixture of their softened probabilities.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};
use kd_core::terms::kd::kd;
use kd_core::{Combine, CombineRule, Error, Output, Part, Taps};

const FIRST: [[f32; 3]; 2] = [[2.0, 0.5, -1.0], [0.0, 3.0, 1.0]];
const SECOND: [[f32; 3]; 2] = [[-1.0, 1.5, 0.5], [1.0, 2.5, -2.0]];

fn outputs(device: &Device) -> Vec<Output> {
    [FIRST, SECOND]
        .into_iter()
        .map(|logits| Output::new(Tensor::from_floats(logits, device)))
        .collect()
}

fn labels(device: &Device) -> Tensor<1, Int> {
    Tensor::from_ints([0, 1], device)
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn close(a: &[f64], b: &[f64]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

/// Softmax in double precision, by hand.
fn probabilities(logits: [f32; 3], temperature: f64) -> [f64; 3] {
    let exp = logits.map(|z| (f64::from(z) / temperature).exp());
    exp.map(|e| e / exp.iter().sum::<f64>())
}

#[test]
fn the_average_is_the_mean_of_the_softened_probabilities() {
    let device = Device::flex();
    let combine = Combine {
        temperature: 2.0,
        ..Combine::default()
    };
    let combined = combine.apply(outputs(&device), &labels(&device)).unwrap();
    let expected: Vec<f64> = (0..2)
        .flat_map(|i| {
            let (a, b) = (probabilities(FIRST[i], 2.0), probabilities(SECOND[i], 2.0));
            (0..3).map(move |c| (a[c] + b[c]) / 2.0)
        })
        .collect();
    close(&numbers(softmax(combined.logits / 2.0, 1)), &expected);
}

#[test]
fn confidence_weighs_a_sample_by_its_cross_entropy() {
    let device = Device::flex();
    let combine = Combine {
        rule: CombineRule::Confidence,
        temperature: 3.0,
    };
    let combined = combine.apply(outputs(&device), &labels(&device)).unwrap();
    let expected: Vec<f64> = (0..2)
        .flat_map(|i| {
            // exp(cross-entropy) is 1 / p(label).
            let doubt = [FIRST, SECOND].map(|t| 1.0 / probabilities(t[i], 1.0)[i]);
            let weight = doubt.map(|d| 1.0 - d / (doubt[0] + doubt[1]));
            let (a, b) = (probabilities(FIRST[i], 3.0), probabilities(SECOND[i], 3.0));
            (0..3).map(move |c| weight[0] * a[c] + weight[1] * b[c])
        })
        .collect();
    close(&numbers(softmax(combined.logits / 3.0, 1)), &expected);
}

/// One term on the combined teacher has the gradient of the mean of one term a teacher.
#[test]
fn one_term_learns_from_all() {
    let device = Device::flex().autodiff();
    let student = || Tensor::<2>::from_floats([[0.3, -0.2, 0.9], [1.0, 0.1, 0.4]], &device);
    let gradient = |loss: &dyn Fn(Tensor<2>) -> Tensor<1>| {
        let student = student().require_grad();
        let gradients = loss(student.clone()).backward();
        numbers(student.grad(&gradients).unwrap())
    };
    let separate = gradient(&|student| {
        let [a, b] = [FIRST, SECOND]
            .map(|t| kd(student.clone(), Tensor::from_floats(t, &device), 4.0).unwrap());
        (a + b) / 2.0
    });
    let together = gradient(&|student| {
        let combined = Combine::default().apply(outputs(&device), &labels(&device));
        kd(student, combined.unwrap().logits, 4.0).unwrap()
    });
    close(&separate, &together);
}

#[test]
fn a_single_teacher_stays_as_it_is_and_none_is_an_error() {
    let device = Device::flex();
    let mut teacher = outputs(&device).remove(0);
    let embedding = Tensor::<2>::ones([2, 5], &device);
    teacher.push(Part::Embedding, &embedding, &Taps::all());
    for rule in [CombineRule::Average, CombineRule::Confidence] {
        let combine = Combine {
            rule,
            temperature: 4.0,
        };
        let alone = combine
            .apply(vec![teacher.clone()], &labels(&device))
            .unwrap();
        assert!(alone.embedding().is_ok());
        let expected: Vec<f64> = FIRST.concat().into_iter().map(f64::from).collect();
        close(&numbers(alone.logits), &expected);
    }
    let none = Combine::default().apply(Vec::new(), &labels(&device));
    assert_eq!(none.unwrap_err(), Error::NoTeacher);
}

/// A teacher that is certain of the wrong class has a weight of 0 and leaves no NaN.
#[test]
fn extremes_stay_finite() {
    let device = Device::flex();
    let output = |logits: [[f32; 3]; 2]| Output::new(Tensor::from_floats(logits, &device));
    let right = output([[3e4, -3e4, 0.0], [-3e4, 3e4, 0.0]]);
    let wrong = output([[-3e4, 3e4, 0.0], [3e4, -3e4, 0.0]]);
    let combine = Combine {
        rule: CombineRule::Confidence,
        temperature: 4.0,
    };
    let combined = combine.apply(vec![wrong, right], &labels(&device)).unwrap();
    close(
        &numbers(softmax(combined.logits / 4.0, 1)),
        &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
    );
}

#[test]
fn teachers_of_other_classes_and_a_temperature_of_0_are_refused() {
    let device = Device::flex();
    let mut teachers = outputs(&device);
    teachers.push(Output::new(Tensor::zeros([2, 4], &device)));
    let error = Combine::default()
        .apply(teachers, &labels(&device))
        .unwrap_err();
    let text = error.to_string();
    assert!(text.contains("[2, 3]") && text.contains("[2, 4]"), "{text}");
    let cold = Combine {
        temperature: 0.0,
        ..Combine::default()
    };
    let text = cold.validate().unwrap_err().to_string();
    assert!(text.contains("temperature = 0"), "{text}");
}
