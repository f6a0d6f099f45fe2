//! What holds for a network that is its own teacher.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use kd_core::terms::byot::{ByotConfig, ByotForm, byot};
use kd_core::{Output, Pair, Part, Step, Taps, Term, TermConfig, draw};

use crate::{classes_of, device, leaf};

const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

/// A student with maps of these channels and sides.
fn student(maps: &[[usize; 2]], batch: usize) -> (Output, Vec<Tensor<4>>) {
    let mut output = Output::new(leaf(&wave(3 * batch, 0.4), [batch, 3]));
    let mut leaves = Vec::new();
    for (level, &[channels, side]) in maps.iter().enumerate() {
        let shape = [batch, channels, side, side];
        let map = leaf(&wave(shape.iter().product(), level as f32), shape);
        output.push(Part::Maps, &map, &Taps::all());
        leaves.push(map);
    }
    (output, leaves)
}

fn built(config: ByotConfig, maps: &[[usize; 2]]) -> Term {
    draw::seed(4);
    TermConfig::from(config)
        .init(&student(maps, 1).0, None, &device())
        .unwrap()
}

#[test]
fn the_three_parts_are_those_of_the_paper() {
    // One sample, two classes, two channels at two positions. At T = 2 and logits 2 ln 3 apart the
    // deepest classifier says 3/4 and 1/4, the exit one half each.
    let (exit, deepest) = (
        leaf(&[0.0, 0.0], [1, 2]),
        leaf(&[2.0 * 3f32.ln(), 0.0], [1, 2]),
    );
    let (features, last) = (
        leaf(&[1.0, 0.0, 2.0, 2.0], [1, 2, 2, 1]),
        leaf(&[0.0, 0.0, 4.0, 2.0], [1, 2, 2, 1]),
    );
    let config = ByotConfig {
        alpha: 0.25,
        hint: 0.1,
        temperature: 2.0,
        form: ByotForm::Paper,
        ..ByotConfig::default()
    };
    let found = byot(
        [exit.clone(), deepest.clone()],
        [features.clone(), last.clone()],
        classes_of(&[1]),
        &config,
    )
    .unwrap();
    let labelled = 2f32.ln();
    let taught = 4.0 * (0.75 * 1.5f32.ln() + 0.25 * 0.5f32.ln());
    // 1² at the first position, 2² at the first of the second channel: a mean over two positions.
    let hint = (1.0 + 4.0) / 2.0;
    let expected = 0.75 * labelled + 0.25 * taught + 0.1 * hint;
    let gradients = found.backward();
    let value: f32 = found.into_scalar();
    assert!((value - expected).abs() < 1e-6, "{value} {expected}");

    // (1 − α)(p − y) + α · T · (p(T) − q(T)), and 2λ (F − F_last) / positions.
    let of = |x: Tensor<1>| x.into_data().iter::<f32>().collect::<Vec<_>>();
    let by_exit = of(exit.grad(&gradients).unwrap().flatten(0, 1));
    for (found, expected) in by_exit.into_iter().zip([0.375 - 0.125, -0.375 + 0.125]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    let by_features = of(features.grad(&gradients).unwrap().flatten(0, 3));
    for (found, expected) in by_features.into_iter().zip([0.1, 0.0, -0.2, 0.0]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    assert!(deepest.grad(&gradients).is_none() && last.grad(&gradients).is_none());
}

#[test]
fn every_stage_but_the_last_gets_an_exit_that_is_trained() {
    let shapes = [[4, 16], [4, 16], [6, 8], [8, 4]];
    let term = built(ByotConfig::default(), &shapes);
    assert!(!term.needs_teacher());
    let taps = term.taps();
    let levels = [1, 2, 3].into_iter().collect();
    assert_eq!(*taps.student.get(Part::Maps), levels);
    assert_eq!(taps.teacher, Default::default());

    let (output, leaves) = student(&shapes, 2);
    let pair = Pair {
        student: &output,
        teacher: None,
        targets: &classes_of(&[0, 2]).into(),
        indices: None,
    };
    let loss = term.forward(&pair, &STEP).unwrap();
    let gradients = loss.backward();
    let reached: Vec<bool> = leaves
        .iter()
        .map(|l| l.grad(&gradients).is_some())
        .collect();
    assert_eq!(reached, [false, true, true, false]);
    assert!(output.logits.grad(&gradients).is_none());
    // Two halvings from 16 and one from 8: so many convolutions with scale and shift, and a classifier.
    let trained = GradientsParams::from_grads(gradients, &term).len();
    assert_eq!(trained, (4 + 3) * 3 + 2 * 2);
    let inner = 8 / 4;
    let exit = |from: usize, halvings: usize| {
        let convolutions = from * inner + halvings * 9 * inner * inner + inner * 8;
        let norms = (1 + halvings) * inner + 8;
        convolutions + 4 * norms + 8 * 3 + 3
    };
    assert_eq!(term.num_params(), exit(4, 2) + exit(6, 1));
}

#[test]
fn exits_of_any_size_meet_the_last_map() {
    for shapes in [
        [[3, 8], [3, 8], [4, 8]],
        [[3, 7], [3, 7], [4, 4]],
        [[3, 9], [3, 9], [4, 1]],
        [[3, 1], [3, 1], [4, 1]],
        [[3, 4], [3, 4], [4, 8]],
    ] {
        let term = built(ByotConfig::default(), &shapes);
        let (output, leaves) = student(&shapes, 2);
        let pair = Pair {
            student: &output,
            teacher: None,
            targets: &classes_of(&[1, 2]).into(),
            indices: None,
        };
        let loss = term.forward(&pair, &STEP).unwrap();
        let gradients = loss.backward();
        let value: f32 = loss.into_scalar();
        assert!(value.is_finite() && value > 0.0, "{shapes:?} {value}");
        let gradient: f32 = leaves[1]
            .grad(&gradients)
            .unwrap()
            .abs()
            .max()
            .into_scalar();
        assert!(gradient.is_finite(), "{shapes:?} {gradient}");
    }
}

#[test]
fn levels_that_have_no_deeper_teacher_are_refused() {
    let shapes = [[4, 8], [4, 8], [6, 4]];
    for (levels, maps) in [
        (vec![2], &shapes[..]),
        (vec![1, 1], &shapes),
        (vec![9], &shapes),
        (vec![], &shapes[..2]),
        (vec![], &[]),
    ] {
        let config = ByotConfig {
            levels,
            ..ByotConfig::default()
        };
        let message = TermConfig::from(config)
            .init(&student(maps, 1).0, None, &device())
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("levels = ["), "{message}");
        assert!(message.contains("before the student's last"), "{message}");
    }
    let config = |alpha, hint, temperature| ByotConfig {
        alpha,
        hint,
        temperature,
        ..ByotConfig::default()
    };
    for (config, start) in [
        (config(1.5, 0.03, 3.0), "alpha = 1.5: must be"),
        (config(0.3, -1.0, 3.0), "hint = -1: must be"),
        (config(0.3, 0.03, 0.0), "temperature = 0: must be"),
    ] {
        let message = TermConfig::from(config)
            .init(&student(&shapes, 1).0, None, &device())
            .unwrap_err()
            .to_string();
        assert!(message.starts_with(start), "{message}");
    }
}
