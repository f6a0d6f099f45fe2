//! What holds for terms that use the teacher's classifier.

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use kd_core::terms::simkd::{SimKd, SimKdConfig};
use kd_core::terms::srrl::{SrrlConfig, srrl};
use kd_core::{
    Classifier, Error, HeadConfig, Levels, ObjectiveConfig, Output, Pair, Part, Step, Taps,
    TermConfig, draw,
};

use crate::{classes_of, device, leaf, replace};

const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};

fn wave(count: usize, phase: f32) -> Vec<f32> {
    (0..count).map(|i| (1.7 * i as f32 + phase).sin()).collect()
}

fn numbers<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter().collect()
}

/// A network with one map, the average of which its classifier reads.
fn network([channels, side]: [usize; 2], batch: usize, phase: f32) -> Output {
    let shape = [batch, channels, side, side];
    let map = leaf(&wave(shape.iter().product(), phase), shape);
    let embedding: Tensor<2> = map.clone().flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2);
    let classifier = Classifier {
        weight: leaf(&wave(3 * channels, phase), [channels, 3]),
        bias: leaf(&wave(3, phase), [3]),
    };
    let mut output = Output::new(classifier.forward(embedding.clone()).unwrap());
    output.push(Part::Embedding, &embedding, &Taps::all());
    output.push(Part::Classifier, &classifier, &Taps::all());
    output.push(Part::Maps, &map, &Taps::all());
    output
}

fn projector(student: [usize; 2], teacher: [usize; 2]) -> SimKd {
    draw::seed(6);
    SimKdConfig::default()
        .init(
            &network(student, 1, 0.1),
            Some(&network(teacher, 1, 0.9)),
            &device(),
        )
        .unwrap()
}

#[test]
fn a_regression_weighs_what_the_classifier_sees() {
    let student = leaf(&[1.0, 2.0], [1, 2]);
    let teacher = leaf(&[0.0, 2.0], [1, 2]);
    let logits = leaf(&[0.0, 4.0], [1, 2]);
    let classifier = Classifier {
        weight: leaf(&[1.0, 0.0, 0.0, 2.0], [2, 2]),
        bias: leaf(&[0.5, 0.0], [2]),
    };
    let config = SrrlConfig {
        feature: 2.0,
        regression: 0.5,
        ..SrrlConfig::default()
    };
    let loss = srrl(
        student.clone(),
        teacher.clone(),
        logits.clone(),
        &classifier,
        &config,
    )
    .unwrap();
    let gradients = loss.backward();
    // Off by 1 of two features, and by 1.5 of two logits.
    assert_eq!(loss.into_scalar::<f32>(), 2.0 * 0.5 + 0.5 * 1.125);
    let gradient = numbers(student.grad(&gradients).unwrap());
    assert_eq!(gradient, [2.0 + 0.5 * 1.5, 0.0]);
    assert!(teacher.grad(&gradients).is_none() && logits.grad(&gradients).is_none());
    let Classifier { weight, bias } = classifier;
    assert!(weight.grad(&gradients).is_none() && bias.grad(&gradients).is_none());
}

#[test]
fn a_classifier_that_does_not_fit_is_refused() {
    let classifier = Classifier {
        weight: leaf(&[1.0; 6], [2, 3]),
        bias: leaf(&[0.0; 3], [3]),
    };
    let (two, three) = (leaf(&[1.0; 2], [1, 2]), leaf(&[1.0; 3], [1, 3]));
    let message = |embedding: &Tensor<2>, logits: &Tensor<2>| {
        let config = SrrlConfig::default();
        let (student, teacher) = (embedding.clone(), embedding.clone());
        srrl(student, teacher, logits.clone(), &classifier, &config)
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&three, &three),
        "classifier: a weight of shape [2, 3] and a bias of shape [3] cannot read an embedding of width 3"
    );
    assert!(message(&two, &two).starts_with("srrl: the student has shape [1, 3]"));
    for (feature, regression, start) in [
        (-1.0, 1.0, "feature = -1: must be"),
        (1.0, f64::NAN, "regression = NaN: must be"),
        (0.0, 0.0, "feature = 0, and regression = 0: at least one"),
    ] {
        let config = SrrlConfig {
            feature,
            regression,
            ..SrrlConfig::default()
        };
        let message = TermConfig::from(config)
            .init(
                &network([2, 2], 1, 0.1),
                Some(&network([3, 2], 1, 0.2)),
                &device(),
            )
            .unwrap_err()
            .to_string();
        assert!(message.starts_with(start), "{message}");
    }
}

#[test]
fn what_the_teacher_does_not_show_is_named() {
    let mut teacher = network([3, 2], 1, 0.2);
    teacher.remove(Part::Classifier);
    for config in [
        TermConfig::from(SrrlConfig::default()),
        SimKdConfig::default().into(),
    ] {
        let problem = config
            .init(&network([2, 2], 1, 0.1), Some(&teacher), &device())
            .unwrap_err();
        let missing = Error::MissingTap {
            what: "classifier".into(),
        };
        assert_eq!(problem, missing);
    }
}

#[test]
fn only_srrl_asks_for_the_classifier_at_every_step() {
    let (student, teacher) = (network([2, 4], 1, 0.1), network([3, 2], 1, 0.2));
    let taps = |config: TermConfig| {
        let term = config.init(&student, Some(&teacher), &device()).unwrap();
        term.taps()
    };
    let srrl = taps(SrrlConfig::default().into());
    for part in [Part::Classifier, Part::Embedding] {
        assert!(srrl.teacher.wants(part, 0));
    }
    assert!(srrl.student.wants(Part::Embedding, 0));
    assert!(srrl.student.get(Part::Classifier).is_empty());
    let last = Taps::levels(Part::Maps, Levels::one(0));
    let simkd = taps(SimKdConfig::default().into());
    assert_eq!([simkd.student, simkd.teacher], [last.clone(), last]);
}

#[test]
fn the_projected_map_is_what_the_teachers_classifier_reads() {
    // Of maps of one position the average is the map: against a teacher of zeros the loss is the mean square
    // of what a classifier that passes its input through gives.
    let (mut student, mut teacher) = (network([4, 1], 5, 0.3), network([6, 1], 5, 0.9));
    let own = teacher.classifier().unwrap();
    let init = |student: &Output, teacher: &Output| {
        draw::seed(6);
        let config = SimKdConfig::default();
        config.init(student, Some(teacher), &device()).unwrap()
    };
    let reading = init(&student, &teacher);
    let through = Classifier {
        weight: Tensor::eye(6, &device()),
        bias: Tensor::zeros([6], &device()),
    };
    replace(&mut teacher, Part::Classifier, &through);
    for network in [&mut student, &mut teacher] {
        network.logits = Tensor::zeros([5, 6], &device());
    }
    let passing = init(&student, &teacher);

    let mut silent = teacher;
    let zeros = Tensor::<4>::zeros([5, 6, 1, 1], &device());
    replace(&mut silent, Part::Maps, &zeros);
    let pair = Pair {
        student: &student,
        teacher: Some(&silent),
        targets: &classes_of(&[0; 5]).into(),
        indices: None,
    };
    let loss: f32 = passing.forward(&pair, &STEP).unwrap().into_scalar();
    let passed = passing.head().read(student.clone(), &Taps::all()).unwrap();
    let squares: f32 = passed.logits.clone().square().mean().into_scalar();
    assert!(
        loss > 0.0 && (loss - squares).abs() < 1e-6,
        "{loss} {squares}"
    );
    let embedding = passed.embedding().unwrap();
    assert_eq!(numbers(embedding.clone()), numbers(passed.logits));

    // The same projector under the teacher's own classifier.
    let expected = numbers(embedding.matmul(own.weight.clone()) + own.bias.clone().unsqueeze());
    let read = reading.head().read(student, &Taps::none()).unwrap();
    assert!(read.embedding().is_err() && read.classifier().is_err() && read.map(0).is_err());
    for (found, expected) in numbers(read.logits).into_iter().zip(expected) {
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }
    let shown = reading.head().classifier();
    assert_eq!(numbers(shown.weight), numbers(own.weight));
    assert_eq!(numbers(shown.bias), numbers(own.bias));
    let wider = reading.head().read(network([5, 1], 2, 0.1), &Taps::none());
    assert!(wider.is_err());
}

#[test]
fn a_student_is_deployed_with_one_head_that_counts() {
    let (student, teacher) = (network([4, 6], 2, 0.1), network([6, 3], 2, 0.9));
    let init = |terms: &str| {
        let config: ObjectiveConfig = serde_json::from_str(terms).unwrap();
        config.init(&student, Some(&teacher), &device())
    };
    let one = init(r#"{ "cross_entropy": {}, "simkd": {} }"#).unwrap();
    let config = one.head().unwrap().config();
    let wanted = HeadConfig {
        level: 0,
        size: [3, 3],
        channels: [4, 3, 6],
        classes: 3,
    };
    assert_eq!(*config, wanted);
    for without in [
        r#"{ "cross_entropy": {} }"#,
        r#"{ "cross_entropy": {}, "simkd": { "weight": 0 } }"#,
    ] {
        assert!(init(without).unwrap().head().is_none());
    }
    let problem = init(r#"{ "simkd": {}, "again": { "term": "simkd" } }"#).unwrap_err();
    let message = problem.to_string();
    assert!(
        message.starts_with("objective.again = `simkd`: a student is deployed with one head"),
        "{message}"
    );
}

#[test]
fn a_head_of_nothing_is_refused() {
    for (channels, classes) in [([4, 0, 6], 3), ([4, 3, 6], 0)] {
        let config = HeadConfig {
            level: 0,
            size: [3, 3],
            channels,
            classes,
        };
        assert!(config.init(&device()).is_err());
    }
}

#[test]
fn in_evaluation_a_samples_logits_are_its_own() {
    let term = projector([4, 6], [6, 3]);
    let teacher = network([6, 3], 3, 0.9);
    let student = network([4, 6], 3, 0.3);
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &classes_of(&[0, 1, 2]).into(),
        indices: None,
    };
    let loss = term.forward(&pair, &STEP).unwrap();
    // Three convolutions, each with scale and shift.
    let gradients = GradientsParams::from_grads(loss.backward(), &term);
    assert_eq!(gradients.len(), 9);

    let evaluated = term.valid();
    let plain = |output: &Output, row: usize| {
        let map = output.map(0).unwrap().inner().narrow(0, row, 1);
        let mut alone = Output::new(Tensor::zeros([1, 3], &map.device()));
        alone.push(Part::Maps, &map, &Taps::all());
        alone
    };
    let read = |output: Output| {
        let head = evaluated.head();
        numbers(head.read(output, &Taps::none()).unwrap().logits)
    };
    let mut whole = Output::new(Tensor::zeros(
        [3, 3],
        &Tensor::<1>::zeros([1], &device()).inner().device(),
    ));
    let map = student.map(0).unwrap().inner();
    whole.push(Part::Maps, &map, &Taps::all());
    let together = read(whole);
    for row in 0..3 {
        let alone = read(plain(&student, row));
        for (alone, together) in alone.iter().zip(&together[3 * row..]) {
            assert!((alone - together).abs() < 1e-5, "{alone} {together}");
        }
    }
}

#[test]
fn a_classifier_that_reads_something_else_is_no_teacher() {
    let student = network([2, 2], 1, 0.1);
    let mut narrower = network([3, 2], 1, 0.2);
    let embedding: Tensor<2> = leaf(&wave(2, 0.4), [1, 2]);
    replace(&mut narrower, Part::Embedding, &embedding);
    let classifier = Classifier {
        weight: leaf(&wave(6, 0.4), [2, 3]),
        bias: leaf(&wave(3, 0.4), [3]),
    };
    replace(&mut narrower, Part::Classifier, &classifier);
    let mut other = network([3, 2], 1, 0.2);
    let embedding: Tensor<2> = leaf(&wave(3, 0.8), [1, 3]);
    replace(&mut other, Part::Embedding, &embedding);
    for teacher in [narrower, other] {
        let message = SimKdConfig::default()
            .init(&student, Some(&teacher), &device())
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("simkd: the teacher's classifier does not read the average"),
            "{message}"
        );
    }
}
