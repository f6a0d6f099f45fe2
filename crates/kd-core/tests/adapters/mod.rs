//! What holds for every term, built for networks of other shapes.

use std::collections::BTreeMap;

use burn::optim::GradientsParams;
use burn::tensor::{Distribution, Tensor, TensorData};
use kd_core::terms::ft::FtConfig;
use kd_core::terms::vid::VidConfig;
use kd_core::{
    Classifier, Error, Levels, Maps, ObjectiveConfig, Output, Pair, Step, Term, TermConfig, draw,
    methods,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::{classes_of, device};

const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};

pub(crate) const BATCH: usize = 4;

/// What a network shows, by its shapes.
#[derive(Clone)]
pub(crate) struct Shown {
    /// Channels and side of every map.
    maps: Vec<[usize; 2]>,
    embedding: usize,
    layers: usize,
    width: usize,
}

/// An output of these shapes, and its tensors by name, whose gradients can be asked for.
pub(crate) fn shown(
    shapes: &Shown,
    batch: usize,
    seed: u64,
) -> (Output, BTreeMap<String, Tensor<1>>) {
    let device = device();
    let mut generator = StdRng::seed_from_u64(seed);
    let mut leaves = BTreeMap::new();
    let mut leaf = |name: String, count: usize| -> Tensor<1> {
        let normal = Distribution::Normal(0.0, 1.0);
        let values = TensorData::random::<f32, _, _>([count], normal, &mut generator);
        let values = Tensor::from_data(values, &device).require_grad();
        leaves.insert(name, values.clone());
        values
    };
    let mut output = Output::new(leaf("logits".into(), batch * 3).reshape([batch, 3]));
    let embedding = leaf("embedding".into(), batch * shapes.embedding);
    output.embedding = Some(embedding.reshape([batch, shapes.embedding]));
    output.classifier = Some(Classifier {
        weight: leaf("classifier weight".into(), shapes.embedding * 3)
            .reshape([shapes.embedding, 3]),
        bias: leaf("classifier bias".into(), 3),
    });
    output.maps = Maps::default();
    output.maps_preact = Maps::default();
    for (i, &[channels, side]) in shapes.maps.iter().enumerate() {
        let shape = [batch, channels, side, side];
        let count = shape.iter().product();
        let map = leaf(format!("map {i}"), count).reshape(shape);
        output.maps.push(&map, &Levels::All);
        let preact = leaf(format!("preact {i}"), count).reshape(shape);
        output.maps_preact.push(&preact, &Levels::All);
    }
    for i in 0..=shapes.layers {
        let shape = [batch, 5, shapes.width];
        let tokens = leaf(format!("tokens {i}"), batch * 5 * shapes.width).reshape(shape);
        output.tokens.push(&tokens, &Levels::All);
    }
    for i in 0..shapes.layers {
        let attention = leaf(format!("attention {i}"), batch * 2 * 25).reshape([batch, 2, 5, 5]);
        output.attentions.push(&attention, &Levels::All);
    }
    (output, leaves)
}

/// What a dry run of a network shows, whose classifier reads the average of its last map where it can.
pub(crate) fn dry(shapes: &Shown, seed: u64) -> Output {
    let (mut output, _) = shown(shapes, 1, seed);
    let last = output.map(shapes.levels(Part::Maps) - 1).unwrap();
    if last.dims()[1] == shapes.embedding {
        output.embedding = Some(last.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2));
    }
    output
}

pub(crate) fn networks() -> [(Shown, Shown); 3] {
    let of = |maps: &[[usize; 2]], embedding, layers, width| Shown {
        maps: maps.to_vec(),
        embedding,
        layers,
        width,
    };
    let wide = of(&[[4, 8], [6, 8], [8, 8], [10, 4]], 10, 4, 96);
    [
        (wide.clone(), wide.clone()),
        // Thinner, at other sizes, with fewer stages and layers.
        (of(&[[2, 8], [3, 4], [5, 2]], 7, 2, 48), wide.clone()),
        // More stages than the teacher, and maps that are larger.
        (
            of(&[[2, 16], [4, 16], [6, 16], [8, 8], [12, 7]], 12, 2, 96),
            wide,
        ),
    ]
}

fn configured(name: &str) -> ObjectiveConfig {
    serde_json::from_value::<ObjectiveConfig>(serde_json::json!({ "x": { "term": name } }))
        .unwrap()
        .with_samples(9)
}

pub(crate) fn batch<'a>(
    student: &'a Output,
    teacher: &'a Output,
    labels: &'a Tensor<1, burn::tensor::Int>,
) -> Pair<'a> {
    Pair {
        student,
        teacher: Some(teacher),
        labels,
        indices: Some(&[3, 0, 8, 5]),
    }
}

#[test]
fn every_term_runs_between_networks_of_any_shapes() {
    for method in methods() {
        for (student, teacher) in networks() {
            draw::seed(3);
            let objective = configured(method.name)
                .init(&dry(&student, 1), Some(&dry(&teacher, 2)), &device())
                .unwrap_or_else(|e| panic!("{}: {e}", method.name));
            let (student, leaves) = shown(&student, BATCH, 1);
            let (teacher, taught) = shown(&teacher, BATCH, 2);
            let labels = classes_of(&[0, 2, 1, 1]);
            let evaluation = objective
                .forward(&batch(&student, &teacher, &labels), &STEP)
                .unwrap_or_else(|e| panic!("{}: {e}", method.name));
            let gradients = evaluation.total.backward();
            let value: f32 = evaluation.total.into_scalar();
            assert!(value.is_finite(), "{}: {value}", method.name);
            let reached = leaves.values().filter_map(|leaf| leaf.grad(&gradients));
            let sizes: Vec<f32> = reached.map(|g| g.abs().max().into_scalar()).collect();
            assert!(!sizes.is_empty(), "{}", method.name);
            assert!(sizes.iter().all(|g| g.is_finite()), "{}", method.name);
            assert!(sizes.iter().any(|g| *g > 0.0), "{}", method.name);
            for (name, leaf) in taught {
                let gradient = leaf.grad(&gradients);
                assert!(gradient.is_none(), "{}: {name} of the teacher", method.name);
            }
        }
    }
}

#[test]
fn a_term_asks_for_what_it_reads_and_no_more() {
    let (student, teacher) = &networks()[1];
    for method in methods() {
        let objective = configured(method.name)
            .init(&dry(student, 1), Some(&dry(teacher, 2)), &device())
            .unwrap();
        let taps = objective.taps();
        let kept = |shapes: &Shown, taps: &kd_core::Taps| {
            let (all, _) = shown(shapes, BATCH, 1);
            let mut kept = Output::new(all.logits.clone());
            kept.embedding = all.embedding.clone().filter(|_| taps.embedding);
            kept.classifier = all.classifier.clone().filter(|_| taps.classifier);
            for level in 0..all.levels(Part::Maps) {
                kept.maps.push(&all.map(level).unwrap(), &taps.maps);
                let preact = all.map_preact(level).unwrap();
                kept.maps_preact.push(&preact, &taps.maps_preact);
            }
            for level in 0..all.levels(Part::Tokens) {
                kept.tokens.push(&all.tokens(level).unwrap(), &taps.tokens);
            }
            for level in 0..all.levels(Part::Attentions) {
                let attention = all.attention(level).unwrap();
                kept.attentions.push(&attention, &taps.attentions);
            }
            kept
        };
        let (student, teacher) = (kept(student, &taps.student), kept(teacher, &taps.teacher));
        let labels = classes_of(&[0, 2, 1, 1]);
        let found = objective.forward(&batch(&student, &teacher, &labels), &STEP);
        assert!(found.is_ok(), "{}: {:?}", method.name, found.err());
    }
}

/// Steps along the gradient by finite differences: what the derivative of each term says of it.
#[test]
fn gradients_are_slopes() {
    const LENGTH: f64 = 0.002;
    let (student_shapes, teacher_shapes) = &networks()[1];
    for name in [
        "vid",
        "ab",
        "ft",
        "fsp",
        "kdsvd",
        "ofd",
        "reviewkd",
        "cwd",
        "pkd",
        "mgd",
        "ickd",
        "cc",
        "cosine_hidden",
        "minilm_relation",
        "tinybert_attention",
        "mlkd",
        "ofakd",
        "byot",
        "simkd",
        "camkd",
        "srrl",
    ] {
        draw::seed(3);
        let dry_runs = (dry(student_shapes, 1), dry(teacher_shapes, 2));
        let objective = configured(name)
            .init(&dry_runs.0, Some(&dry_runs.1), &device())
            .unwrap();
        let (student, leaves) = shown(student_shapes, BATCH, 1);
        let (teacher, _) = shown(teacher_shapes, BATCH, 2);
        let labels = classes_of(&[0, 2, 1, 1]);
        let total = |student: &Output| {
            let pair = batch(student, &teacher, &labels);
            objective.forward(&pair, &STEP).unwrap().components[0]
                .value
                .clone()
        };
        let gradients = total(&student).backward();
        let slopes: BTreeMap<&str, Tensor<1>> = leaves
            .iter()
            .filter_map(|(name, leaf)| {
                let slope = leaf.grad(&gradients)?;
                Some((name.as_str(), Tensor::from_inner(slope)))
            })
            .collect();
        let squares: f64 = slopes
            .values()
            .map(|g| f64::from(g.clone().square().sum().into_scalar::<f32>()))
            .sum();
        let norm = squares.sqrt();
        let moved = |by: f64| -> f64 {
            let step = |name: String, flat: Tensor<1>| match slopes.get(name.as_str()) {
                Some(slope) => flat + slope.clone() * (by / norm),
                None => flat,
            };
            f64::from(total(&stepped(&student, step)).into_scalar::<f32>())
        };
        let slope = (moved(LENGTH) - moved(-LENGTH)) / (2.0 * LENGTH);
        assert!(
            (slope / norm - 1.0).abs() < 0.03,
            "{name}: {slope} for {norm}"
        );
    }
}

/// The same output with every tensor changed, by its name in [`shown`].
fn stepped(output: &Output, step: impl Fn(String, Tensor<1>) -> Tensor<1>) -> Output {
    fn all<const D: usize>(
        maps: &Maps<D>,
        name: &str,
        step: impl Fn(String, Tensor<1>) -> Tensor<1>,
    ) -> Maps<D> {
        let mut moved = Maps::default();
        for (level, map) in maps.iter() {
            let flat = map.clone().reshape([map.shape().num_elements()]);
            let map = step(format!("{name} {level}"), flat).reshape(map.dims());
            moved.push(&map, &Levels::All);
        }
        moved
    }
    let rows = |name: &str, rows: Tensor<2>| {
        let flat = rows.clone().reshape([rows.shape().num_elements()]);
        step(name.into(), flat).reshape(rows.dims())
    };
    Output {
        logits: rows("logits", output.logits.clone()),
        embedding: Some(rows("embedding", output.embedding().unwrap())),
        classifier: output.classifier.clone(),
        maps: all(&output.maps, "map", &step),
        maps_preact: all(&output.maps_preact, "preact", &step),
        tokens: all(&output.tokens, "tokens", &step),
        attentions: all(&output.attentions, "attention", &step),
        members: Vec::new(),
    }
}

fn built(config: impl Into<TermConfig>, [student, teacher]: [&Shown; 2]) -> Term {
    draw::seed(3);
    let config: TermConfig = config.into();
    config
        .init(
            &shown(student, 1, 1).0,
            Some(&shown(teacher, 1, 2).0),
            &device(),
        )
        .unwrap()
}

#[test]
fn the_variance_starts_where_it_is_told_and_is_trained() {
    let (student, teacher) = &networks()[1];
    let value = |variance: f64| {
        let config = VidConfig {
            levels: vec![2],
            variance,
        };
        let term = built(config, [student, teacher]);
        let (student, _) = shown(student, BATCH, 1);
        // A teacher that is far away: ½ (d² / σ² + log σ²), of which the first part counts.
        let (mut teacher, _) = shown(teacher, BATCH, 2);
        let mut far = Maps::default();
        for (_, map) in teacher.maps.iter() {
            far.push(&(map.clone() * 0.0 + 1e4), &Levels::All);
        }
        teacher.maps = far;
        let labels = classes_of(&[0, 2, 1, 1]);
        let loss = term.forward(&batch(&student, &teacher, &labels), &STEP);
        let loss = loss.unwrap();
        let gradients = GradientsParams::from_grads(loss.backward(), &term);
        // Three convolutions and the variance.
        assert_eq!(gradients.len(), 4);
        loss.into_scalar::<f32>()
    };
    let ratio = value(5.0) / value(20.0);
    assert!((ratio - 4.0).abs() < 0.02, "{ratio}");
    let message = TermConfig::from(VidConfig {
        variance: 0.0,
        ..VidConfig::default()
    })
    .init(
        &shown(student, 1, 1).0,
        Some(&shown(teacher, 1, 2).0),
        &device(),
    )
    .unwrap_err();
    assert!(message.to_string().starts_with("variance = 0: must be"));
}

#[test]
fn the_paraphraser_learns_by_reconstruction_alone() {
    let (student_shapes, teacher_shapes) = &networks()[1];
    let run = |reconstruction: f64| {
        let (student, leaves) = shown(student_shapes, BATCH, 1);
        let (teacher, _) = shown(teacher_shapes, BATCH, 2);
        let config = FtConfig {
            reconstruction,
            ..FtConfig::default()
        };
        let term = built(config, [student_shapes, teacher_shapes]);
        let labels = classes_of(&[0, 2, 1, 1]);
        let loss = term.forward(&batch(&student, &teacher, &labels), &STEP);
        let loss = loss.unwrap();
        let gradients = loss.backward();
        let of_student: Vec<f32> = leaves["map 2"]
            .grad(&gradients)
            .unwrap()
            .into_data()
            .iter()
            .collect();
        (loss.into_scalar::<f32>(), of_student)
    };
    let (transfer, alone) = run(0.0);
    let (both, together) = run(2.0);
    assert!(both > transfer);
    assert_eq!(alone, together);
    assert!(alone.iter().any(|g| *g != 0.0));
}

#[test]
fn the_paraphraser_may_be_trained_first_and_then_stays() {
    let (student_shapes, teacher_shapes) = &networks()[1];
    // The translator has weight, bias, scale and shift a layer, the paraphraser weight and bias.
    let run = |paraphraser_epochs: usize, epoch: usize| {
        let (student, leaves) = shown(student_shapes, BATCH, 1);
        let (teacher, _) = shown(teacher_shapes, BATCH, 2);
        let config = FtConfig {
            paraphraser_epochs,
            ..FtConfig::default()
        };
        let term = built(config, [student_shapes, teacher_shapes]);
        let labels = classes_of(&[0, 2, 1, 1]);
        let step = Step { epoch, ..STEP };
        let loss = term.forward(&batch(&student, &teacher, &labels), &step);
        let loss = loss.unwrap();
        let gradients = loss.backward();
        let reached = leaves["map 2"].grad(&gradients).is_some();
        let trained = GradientsParams::from_grads(gradients, &term).len();
        (loss.into_scalar::<f32>(), reached, trained)
    };
    let (beside, reached, trained) = run(0, 2);
    assert!(reached && trained == 3 * 4 + 6 * 2, "{trained}");
    let (first, reached, trained) = run(2, 2);
    assert!(!reached && trained == 6 * 2, "{trained}");
    let (after, reached, trained) = run(2, 3);
    assert!(reached && trained == 3 * 4, "{trained}");
    assert!(first > 0.0 && after > 0.0);
    assert!(
        (first + after - beside).abs() < 1e-6,
        "{first} {after} {beside}"
    );

    let untrained = FtConfig {
        paraphraser_epochs: 2,
        reconstruction: 0.0,
        ..FtConfig::default()
    };
    let message = TermConfig::from(untrained)
        .init(
            &shown(student_shapes, 1, 1).0,
            Some(&shown(teacher_shapes, 1, 2).0),
            &device(),
        )
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("paraphraser_epochs = 2: needs reconstruction"),
        "{message}"
    );
}

#[test]
fn networks_without_layers_before_the_activation_are_refused() {
    let (student, teacher) = &networks()[1];
    let (mut student, _) = shown(student, 1, 1);
    student.maps_preact = Maps::default();
    for name in ["ab", "ofd"] {
        let problem = configured(name)
            .init(&student, Some(&shown(teacher, 1, 2).0), &device())
            .unwrap_err();
        let Error::Term { name, cause } = problem else {
            panic!("{problem}");
        };
        assert_eq!(name, "x");
        assert!(matches!(*cause, Error::MissingTap { .. }), "{cause}");
    }
}

#[test]
fn flows_need_two_levels_in_order() {
    let (student, teacher) = &networks()[1];
    for (name, levels) in [
        ("fsp", vec![2]),
        ("fsp", vec![2, 1]),
        ("kdsvd", vec![1]),
        ("reviewkd", vec![2, 1]),
    ] {
        let config: ObjectiveConfig =
            serde_json::from_value(serde_json::json!({ "x": { "term": name, "levels": levels } }))
                .unwrap();
        let message = config
            .init(
                &shown(student, 1, 1).0,
                Some(&shown(teacher, 1, 2).0),
                &device(),
            )
            .unwrap_err()
            .to_string();
        assert!(message.starts_with("objective.x.levels = ["), "{message}");
    }
}
