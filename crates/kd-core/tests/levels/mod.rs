//! Predictions at several levels by hand: of temperatures, of samples, of exits.

use kd_core::terms::kd::kd;
use kd_core::terms::mlkd::{MlkdConfig, MlkdMask, mlkd};
use kd_core::terms::ofakd::ofakd;

use crate::{classes_of, close, leaf};

/// Logits whose softmax at T = 1 is these probabilities.
fn logs(rows: &[f32]) -> Vec<f32> {
    rows.iter().map(|p| p.ln()).collect()
}

fn value(student: &[f32], teacher: &[f32], temperatures: &[f64], mask: MlkdMask) -> f32 {
    let config = MlkdConfig {
        temperatures: temperatures.to_vec(),
        mask,
        sample: 1.0,
        batch: 1.0,
        class: 1.0,
        ..MlkdConfig::default()
    };
    let shape = [student.len() / 2, 2];
    mlkd(leaf(student, shape), leaf(teacher, shape), &config)
        .unwrap()
        .into_scalar()
}

#[test]
fn samples_batch_and_classes_are_compared() {
    let student = [0.5, 0.5, 0.8, 0.2];
    let teacher = [0.9, 0.1, 0.4, 0.6];
    let divergence =
        |t: &[f32], s: &[f32]| -> f32 { t.iter().zip(s).map(|(t, s)| t * (t / s).ln()).sum() };
    let samples = divergence(&teacher, &student) / 2.0;
    // p·pᵀ: 0.5 0.5 / 0.5 0.68 and 0.82 0.42 / 0.42 0.52.
    let batch = (0.32_f32.powi(2) + 2.0 * 0.08_f32.powi(2) + 0.16_f32.powi(2)) / 2.0;
    // pᵀ·p: 0.89 0.41 / 0.41 0.29 and 0.97 0.33 / 0.33 0.37.
    let classes = 4.0 * 0.08_f32.powi(2) / 2.0;
    let found = value(&logs(&student), &logs(&teacher), &[1.0], MlkdMask::None);
    let expected = samples + batch + classes;
    assert!(close(found, expected), "{found} {expected}");
    // Temperatures add.
    let [s, t] = [logs(&student), logs(&teacher)];
    let both = value(&s, &t, &[1.0, 3.0], MlkdMask::None);
    assert!(close(both, found + value(&s, &t, &[3.0], MlkdMask::None)));
}

#[test]
fn a_mask_leaves_samples_out() {
    let student = logs(&[0.5, 0.5, 0.8, 0.2, 0.3, 0.7, 0.6, 0.4]);
    let teacher = logs(&[0.9, 0.1, 0.4, 0.6, 0.05, 0.95, 0.45, 0.55]);
    let of = |rows: [usize; 2], values: &[f32]| -> Vec<f32> {
        rows.iter()
            .flat_map(|&i| values[2 * i..][..2].to_vec())
            .collect()
    };
    for (mask, rows) in [(MlkdMask::Uncertain, [1, 3]), (MlkdMask::Confident, [0, 2])] {
        let masked = value(&student, &teacher, &[2.0, 5.0], mask);
        let alone = value(
            &of(rows, &student),
            &of(rows, &teacher),
            &[2.0, 5.0],
            MlkdMask::None,
        );
        assert!(close(masked, alone), "{mask:?}: {masked} {alone}");
        assert!(!close(
            masked,
            value(&student, &teacher, &[2.0, 5.0], MlkdMask::None)
        ));
    }
}

#[test]
fn temperatures_must_be_there_and_above_0() {
    for (temperatures, start) in [
        (vec![], "temperatures = []: "),
        (vec![1.0, 0.0], "temperatures = 0: "),
    ] {
        let config = MlkdConfig {
            temperatures,
            ..MlkdConfig::default()
        };
        let two = || leaf(&[1.0, 2.0], [1, 2]);
        let message = mlkd(two(), two(), &config).unwrap_err().to_string();
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn a_sure_teacher_strengthens_the_label() {
    let (student, teacher) = (logs(&[0.5, 0.5]), logs(&[0.8, 0.2]));
    let found = |gamma: f64, label: usize| -> f32 {
        let [s, t] = [&student, &teacher].map(|z| leaf(z, [1, 2]));
        ofakd(s, t, classes_of(&[label]), gamma, 1.0)
            .unwrap()
            .into_scalar()
    };
    let log = 0.5_f32.ln();
    // With γ = 1 the label plays no part.
    assert!(close(found(1.0, 0), -log));
    assert!(close(found(1.0, 1), -log));
    // (0.8 + 1)² − 1 at the label, 0.2² elsewhere.
    assert!(close(found(2.0, 0), -(2.24 + 0.04) * log));
    assert!(close(found(2.0, 1), -(0.64 + 0.44) * log));
    let [s, t] = [&student, &teacher].map(|z| leaf(z, [1, 2]));
    let divergence: f32 = kd(s, t, 1.0).unwrap().into_scalar();
    let entropy = -(0.8 * 0.8_f32.ln() + 0.2 * 0.2_f32.ln());
    assert!(close(found(1.0, 0), divergence + entropy));
}
