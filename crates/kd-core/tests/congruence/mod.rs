//! What holds for correlations of samples and of nodes beyond the common table.

use burn::tensor::{Int, Tensor};
use kd_core::terms::cc::{CcConfig, CcKernel, cc, cc_consecutive};
use kd_core::terms::lsp::lsp;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{assert_finite, close, device, evaluate, leaf};

fn correlation(kernel: CcKernel) -> CcConfig {
    CcConfig {
        kernel,
        ..CcConfig::default()
    }
}

#[test]
fn kernels_are_those_of_the_paper() {
    // Unit rows, so that products are cosines: 0.6 in the student and 0 in the teacher.
    let student = || leaf(&[1.0, 0.0, 0.6, 0.8], [2, 2]);
    let teacher = || leaf(&[0.0, 2.0, 5.0, 0.0], [2, 2]);
    let value =
        |config: &CcConfig| -> f32 { cc(student(), teacher(), config).unwrap().into_scalar() };
    // Off the diagonal twice, of four entries.
    let expected = 2.0 * 0.36 / 4.0;
    assert!((value(&correlation(CcKernel::Bilinear)) - expected).abs() < 1e-6);
    // Means ½ and 0.7 in the student, ½ and ½ in the teacher.
    let expected = 2.0 * 0.2_f32.powi(2) / 4.0;
    assert!((value(&correlation(CcKernel::Linear)) - expected).abs() < 1e-6);
    // e^{−2γ} (1 + 2γ·0.6 + (2γ·0.6)²/2) against e^{−2γ}.
    let step = 0.8_f32 * 0.6;
    let difference = (-0.8_f32).exp() * (step + step * step / 2.0);
    let expected = 2.0 * difference * difference / 4.0;
    assert!((value(&correlation(CcKernel::Rbf)) - expected).abs() < 1e-6);
    // Many orders reach the Gaussian itself: ‖x − y‖² is 2 − 2·0.6 and 2.
    let exact = (-0.4_f32 * 0.8).exp() - (-0.8_f32).exp();
    let config = CcConfig {
        order: 12,
        ..CcConfig::default()
    };
    assert!((value(&config) - 2.0 * exact * exact / 4.0).abs() < 1e-6);
}

#[test]
fn consecutive_samples_depend_on_their_order() {
    let values = [1.0, 0.0, 3.0, 2.0, 0.0, 5.0];
    let zeros = [0.0; 6];
    let value =
        |student: &[f32]| evaluate(student, [3, 2], |s| cc_consecutive(s, leaf(&zeros, [3, 2]))).0;
    // Products of neighbours: 1·3 + 0·2 and 3·0 + 2·5.
    assert_eq!(value(&values), (3.0 + 10.0) / 2.0);
    assert_ne!(value(&values), value(&[3.0, 2.0, 1.0, 0.0, 0.0, 5.0]));
    let one = || leaf(&[1.0, 2.0], [1, 2]);
    let message = cc_consecutive(one(), one()).unwrap_err().to_string();
    assert!(message.starts_with("cc: ") && message.contains("at least 2"));
    let teacher = leaf(&zeros, [3, 2]);
    let loss = cc_consecutive(leaf(&values, [3, 2]), teacher.clone()).unwrap();
    assert!(teacher.grad(&loss.backward()).is_none());
}

#[test]
fn correlations_refuse_what_is_no_kernel() {
    for (config, start) in [
        (
            CcConfig {
                gamma: 0.0,
                ..CcConfig::default()
            },
            "gamma = 0: ",
        ),
        (
            CcConfig {
                order: 0,
                ..CcConfig::default()
            },
            "order = 0: ",
        ),
    ] {
        let two = || leaf(&[1.0, 2.0], [2, 1]);
        let message = cc(two(), two(), &config).unwrap_err().to_string();
        assert!(message.starts_with(start), "{message}");
    }
}

/// A graph whose node 3 has no in-edge and node 0 a single one.
fn edges() -> [Tensor<1, Int>; 2] {
    [
        Tensor::from_ints([1, 0, 2, 3, 1, 3], &device()),
        Tensor::from_ints([0, 1, 1, 1, 2, 2], &device()),
    ]
}

fn structure(student: &[f32], teacher: &[f32]) -> (f32, Vec<f32>) {
    evaluate(student, [4, 2], |s| {
        let [sources, targets] = edges();
        let width = teacher.len() / 4;
        lsp(s, leaf(teacher, [4, width]), sources, targets, 1.0)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn structure_is_finite_and_least_at_the_teacher(
        student in vec(prop_oneof![-2.0_f32..2.0, -1e9_f32..1e9, Just(0.0)], 8),
        teacher in vec(prop_oneof![-2.0_f32..2.0, -1e9_f32..1e9, Just(0.0)], 12),
        near in vec(-2.0_f32..2.0, 8),
    ) {
        let found = structure(&student, &teacher);
        assert_finite(&found);
        prop_assert!(found.0 >= -1e-6, "{}", found.0);
        let (value, gradient) = structure(&near, &near);
        prop_assert!(value.abs() < 1e-6, "{}", value);
        prop_assert!(gradient.iter().all(|g| g.abs() < 1e-5), "{:?}", gradient);
    }
}

#[test]
fn structure_is_the_papers() {
    // Node 2 is at 0, its two neighbours at 1 and 2 in the student: shares of e^{−½} and e^{−2}. In the
    // teacher both are as far. The other two nodes have no in-edges.
    let [sources, targets] = [
        Tensor::<1, Int>::from_ints([1, 3], &device()),
        Tensor::from_ints([2, 2], &device()),
    ];
    let teacher = leaf(&[0.0, 1.0, 0.0, -1.0], [4, 1]);
    let student = leaf(&[9.0, 1.0, 0.0, 2.0], [4, 1]);
    let found: f32 = lsp(student, teacher.clone(), sources, targets, 1.0)
        .unwrap()
        .into_scalar();
    let near = 1.0 / (1.0 + (-1.5_f32).exp());
    let expected = (near * (2.0 * near).ln() + (1.0 - near) * (2.0 * (1.0 - near)).ln()) / 4.0;
    assert!(close(found, expected), "{found} {expected}");
}

#[test]
fn a_graph_without_edges_is_refused() {
    let none = || Tensor::<1, Int>::zeros([0], &device());
    let one = || Tensor::<1, Int>::zeros([1], &device());
    let nodes = || leaf(&[1.0, 2.0], [2, 1]);
    for (sources, targets) in [(none(), none()), (one(), none())] {
        let message = lsp(nodes(), nodes(), sources, targets, 1.0)
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("lsp: "), "{message}");
    }
    let message = lsp(nodes(), nodes(), one(), one(), 0.0).unwrap_err();
    assert!(message.to_string().starts_with("sigma = 0: "));
    let teacher = nodes();
    let loss = lsp(nodes(), teacher.clone(), one(), one(), 1.0).unwrap();
    assert!(teacher.grad(&loss.backward()).is_none());
}
