//! What holds for every term, built for networks of other shapes.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use kd_core::detection::{
    BoxRows, DenseHead, HeadBranch, Objects, RegionHead, RegionOfInterest, RoiPredictions,
};
use kd_core::terms::ft::FtConfig;
use kd_core::terms::vid::VidConfig;
use kd_core::{
    Classifier, Error, ObjectiveConfig, Output, Pair, Part, PartValue, Step, Taps, Targets, Term,
    TermConfig, draw, methods,
};
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::{classes_of, device, replace};

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
    let all = Taps::all();
    let embedding = leaf(leaf_name(Part::Embedding, 0), batch * shapes.embedding);
    let embedding: Tensor<2> = embedding.reshape([batch, shapes.embedding]);
    output.push(Part::Embedding, &embedding, &all);
    let classifier = Classifier {
        weight: leaf("classifier weight".into(), shapes.embedding * 3)
            .reshape([shapes.embedding, 3]),
        bias: leaf("classifier bias".into(), 3),
    };
    output.push(Part::Classifier, &classifier, &all);
    for (i, &[channels, side]) in shapes.maps.iter().enumerate() {
        let shape = [batch, channels, side, side];
        let count = shape.iter().product();
        for part in [Part::Maps, Part::MapsPreact] {
            let map: Tensor<4> = leaf(leaf_name(part, i), count).reshape(shape);
            output.push(part, &map, &all);
        }
    }
    for i in 0..=shapes.layers {
        let shape = [batch, 5, shapes.width];
        let tokens = leaf(leaf_name(Part::Tokens, i), batch * 5 * shapes.width);
        let tokens: Tensor<3> = tokens.reshape(shape);
        output.push(Part::Tokens, &tokens, &all);
    }
    for i in 0..shapes.layers {
        let attention = leaf(leaf_name(Part::Attentions, i), batch * 2 * 25);
        let attention: Tensor<4> = attention.reshape([batch, 2, 5, 5]);
        output.push(Part::Attentions, &attention, &all);
    }
    for i in 0..shapes.layers {
        let scores = leaf(leaf_name(Part::Scores, i), batch * 2 * 25);
        output.push(Part::Scores, &scores.reshape([batch, 2, 5, 5]), &all);
        for part in [Part::Queries, Part::Keys, Part::Values] {
            let heads = leaf(leaf_name(part, i), batch * 5 * shapes.width);
            let heads: Tensor<4> = heads.reshape([batch, 2, 5, shapes.width / 2]);
            output.push(part, &heads, &all);
        }
    }
    // Two edges into each node, so that it has shares.
    let ends = (0..2 * batch).map(|edge| (edge % batch) as i64);
    let others = (0..2 * batch).map(|edge| ((edge + 1 + edge / batch) % batch) as i64);
    let ends: Vec<i64> = ends.chain(others).collect();
    let edges = Tensor::<1, Int>::from_ints(ends.as_slice(), &device);
    output.push(Part::Edges, &edges.reshape([2, 2 * batch]), &all);
    for i in 0..2 {
        let head: Tensor<2> = leaf(leaf_name(Part::Heads, i), batch * 3).reshape([batch, 3]);
        output.push(Part::Heads, &head, &all);
    }
    // One default box an image.
    let offsets: Tensor<2> = leaf(leaf_name(Part::Boxes, 0), batch * 4).reshape([batch, 4]);
    output.push(Part::Boxes, &offsets, &all);
    let head: Arc<dyn RegionHead> = Arc::new(OfCorners);
    output.push(Part::Regions, &head, &all);
    output.push(Part::DenseHead, &dense_head(batch, &mut leaf), &all);
    output.boxes = Some(BoxRows::new([64, 64], [[8.0, 12.0, 40.0, 44.0]]));
    (output, leaves)
}

/// A head of four convolutions over a map of one pixel.
fn dense_head(batch: usize, leaf: &mut impl FnMut(String, usize) -> Tensor<1>) -> DenseHead {
    const WIDTH: usize = 4;
    let mut branch = |name: &str, row: usize| HeadBranch {
        hidden: (0..3)
            .map(|layer| {
                let map = leaf(format!("{name} {layer}"), batch * WIDTH);
                vec![map.reshape([batch, WIDTH, 1, 1])]
            })
            .collect(),
        layers: [WIDTH, WIDTH, WIDTH, row]
            .iter()
            .enumerate()
            .map(|(layer, to)| {
                let weight = leaf(format!("{name} weight {layer}"), to * WIDTH * 9);
                let bias = leaf(format!("{name} bias {layer}"), *to);
                (weight.reshape([*to, WIDTH, 3, 3]), bias)
            })
            .collect(),
        row,
    };
    DenseHead {
        classes: branch("classes", 3),
        boxes: branch("boxes", 4),
    }
}

/// A box head that reads nothing but the corners.
#[derive(Debug)]
struct OfCorners;

impl RegionHead for OfCorners {
    fn regions(&self) -> Result<Vec<RegionOfInterest>, Error> {
        Ok(vec![RegionOfInterest {
            image: 0,
            corners: [10.0, 12.0, 42.0, 46.0],
        }])
    }

    fn judge(&self, regions: &[RegionOfInterest]) -> Result<RoiPredictions, Error> {
        let rows = |width: usize| {
            let row = |region: &RegionOfInterest| -> Vec<f64> {
                (0..width)
                    .map(|i| (region.corners[i % 4] * 0.1 + i as f64).sin())
                    .collect()
            };
            let values: Vec<f64> = regions.iter().flat_map(row).collect();
            Tensor::from_data(
                TensorData::new(values, [regions.len(), width]),
                &Device::flex(),
            )
        };
        Ok(RoiPredictions {
            logits: rows(3),
            offsets: rows(12),
        })
    }
}

/// Classes of the rows, and the objects of the images, of which the last has none.
pub(crate) fn targets() -> Targets {
    let mut targets = Targets::labels(classes_of(&[0, 2, 1, 1]));
    let object = |corners, class| Objects::new(vec![corners], vec![class]).unwrap();
    targets.objects = Some(Arc::new([
        object([6.0, 10.0, 38.0, 44.0], 1),
        object([10.0, 12.0, 40.0, 40.0], 2),
        object([0.0, 0.0, 20.0, 30.0], 1),
        Objects::default(),
    ]));
    targets
}

/// What [`shown`] calls the tensor at a level of a part.
fn leaf_name(part: Part, level: usize) -> String {
    match part {
        Part::Embedding => "embedding".into(),
        Part::Heads => format!("head {level}"),
        Part::Maps => format!("map {level}"),
        Part::MapsPreact => format!("preact {level}"),
        Part::Tokens => format!("tokens {level}"),
        Part::Attentions | Part::Scores | Part::Queries | Part::Keys | Part::Values => {
            format!("{} {level}", part.name())
        }
        Part::Boxes => "offsets".into(),
        other => panic!("{} is no tensor that is shown here", other.name()),
    }
}

/// What a dry run of a network shows, whose classifier reads the average of its last map where it can.
pub(crate) fn dry(shapes: &Shown, seed: u64) -> Output {
    let (mut output, _) = shown(shapes, 1, seed);
    let last = output.map(shapes.maps.len() - 1).unwrap();
    if last.dims()[1] == shapes.embedding {
        let average: Tensor<2> = last.flatten::<3>(2, 3).mean_dim(2).squeeze_dim(2);
        replace(&mut output, Part::Embedding, &average);
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

/// Forms of methods beside those of their defaults.
const FORMS: [&str; 15] = [
    r#"{ "term": "dkd", "standardize": true }"#,
    r#"{ "term": "mlkd", "standardize": true }"#,
    r#"{ "term": "ctkd", "standardize": true }"#,
    r#"{ "term": "byot", "form": "paper" }"#,
    r#"{ "term": "ft", "form": "paper" }"#,
    r#"{ "term": "kdsvd", "exact": true }"#,
    r#"{ "term": "kdsvd", "exact": true, "nearest_of": 4 }"#,
    r#"{ "term": "mgd", "masked": "channels" }"#,
    r#"{ "term": "srrl", "connect": "map" }"#,
    r#"{ "term": "deit", "form": "soft", "temperature": 3.0 }"#,
    r#"{ "term": "topk_kl", "k": 2, "missing": "symmetric_uniform" }"#,
    r#"{ "term": "topk_kl", "k": 2 }"#,
    r#"{ "term": "pkd_bert", "layers": "last" }"#,
    r#"{ "term": "minilm_relation", "relations": ["keys"], "layer": 1, "teacher_layer": 2 }"#,
    r#"{ "term": "rkd", "samples": 3 }"#,
];

fn configured(name: &str) -> ObjectiveConfig {
    of_form(&format!(r#"{{ "term": "{name}" }}"#))
}

fn of_form(form: &str) -> ObjectiveConfig {
    let text = format!(r#"{{ "x": {form} }}"#);
    let config: ObjectiveConfig = serde_json::from_str(&text).unwrap();
    config.with_samples(9).unwrap()
}

/// Every method with its defaults, and the other forms.
fn every_form() -> Vec<String> {
    let defaults = methods().into_iter();
    let defaults = defaults.map(|method| format!(r#"{{ "term": "{}" }}"#, method.name));
    defaults.chain(FORMS.map(String::from)).collect()
}

pub(crate) fn batch<'a>(
    student: &'a Output,
    teacher: &'a Output,
    targets: &'a Targets,
) -> Pair<'a> {
    Pair {
        student,
        teacher: Some(teacher),
        targets,
        indices: Some(&[3, 0, 8, 5]),
    }
}

#[test]
fn every_term_runs_between_networks_of_any_shapes() {
    for form in every_form() {
        for (student, teacher) in networks() {
            draw::seed(3);
            let objective = of_form(&form)
                .init(&dry(&student, 1), Some(&dry(&teacher, 2)), &device())
                .unwrap_or_else(|e| panic!("{form}: {e}"));
            let (student, leaves) = shown(&student, BATCH, 1);
            let (teacher, taught) = shown(&teacher, BATCH, 2);
            let targets = targets();
            let evaluation = objective
                .forward(&batch(&student, &teacher, &targets), &STEP)
                .unwrap_or_else(|e| panic!("{form}: {e}"));
            let gradients = evaluation.total.backward();
            let value: f32 = evaluation.total.into_scalar();
            assert!(value.is_finite(), "{form}: {value}");
            let reached = leaves.values().filter_map(|leaf| leaf.grad(&gradients));
            let sizes: Vec<f32> = reached.map(|g| g.abs().max().into_scalar()).collect();
            assert!(!sizes.is_empty(), "{form}");
            assert!(sizes.iter().all(|g| g.is_finite()), "{form}");
            assert!(sizes.iter().any(|g| *g > 0.0), "{form}");
            for (name, leaf) in taught {
                let gradient = leaf.grad(&gradients);
                assert!(gradient.is_none(), "{form}: {name} of the teacher");
            }
        }
    }
}

/// Terms that read the class of a row say so before a training and refuse mixed rows; the others take them.
#[test]
fn a_term_takes_mixed_rows_or_says_that_it_needs_their_class() {
    let (student, teacher) = &networks()[1];
    let mut refused = Vec::new();
    for form in every_form() {
        draw::seed(3);
        let config = of_form(&form);
        let needs_class = config.terms[0].1.term.needs_class();
        let objective = config
            .init(&dry(student, 1), Some(&dry(teacher, 2)), &device())
            .unwrap();
        let (student, _) = shown(student, BATCH, 1);
        let (teacher, _) = shown(teacher, BATCH, 2);
        let shares = TensorData::from([
            [0.7f32, 0.3, 0.0],
            [0.0, 0.3, 0.7],
            [0.0, 1.0, 0.0],
            [0.3, 0.7, 0.0],
        ]);
        let mut targets = targets();
        targets.shares = Some(Tensor::from_data(shares, &device()));
        match objective.forward(&batch(&student, &teacher, &targets), &STEP) {
            Ok(evaluation) => {
                assert!(!needs_class, "{form} takes mixed rows");
                assert!(evaluation.total.into_scalar::<f32>().is_finite(), "{form}");
            }
            Err(Error::Term { name, cause }) => {
                assert_eq!((name.as_str(), *cause), ("x", Error::Mixed), "{form}");
                assert!(needs_class, "{form} refuses mixed rows");
                refused.push(config.terms[0].1.term.name());
            }
            Err(other) => panic!("{form}: {other}"),
        }
    }
    refused.dedup();
    assert_eq!(
        refused,
        [
            "dkd", "wsld", "ofakd", "byot", "camkd", "crd", "dkd", "byot"
        ]
    );
}

#[test]
fn a_term_asks_for_what_it_reads_and_no_more() {
    let (student, teacher) = &networks()[1];
    for form in every_form() {
        let objective = of_form(&form)
            .init(&dry(student, 1), Some(&dry(teacher, 2)), &device())
            .unwrap();
        let taps = objective.taps();
        let kept = |shapes: &Shown, taps: &Taps| {
            let (all, _) = shown(shapes, BATCH, 1);
            let mut kept = Output::new(all.logits.clone());
            kept.boxes.clone_from(&all.boxes);
            for (part, _, value) in all.kept() {
                kept.push(part, value, taps);
            }
            kept
        };
        let (student, teacher) = (kept(student, &taps.student), kept(teacher, &taps.teacher));
        let targets = targets();
        let found = objective.forward(&batch(&student, &teacher, &targets), &STEP);
        assert!(found.is_ok(), "{form}: {:?}", found.err());
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
        "tinybert_hidden",
        "minilm",
        "pkd_bert",
        "topk_kl",
        "uld",
        "tinybert_prediction",
        "mlkd",
        "ofakd",
        "lg",
        "byot",
        "simkd",
        "camkd",
        "srrl",
    ]
    .map(|name| format!(r#"{{ "term": "{name}" }}"#))
    .into_iter()
    // Which vector is the nearest can change along the step.
    .chain(
        FORMS
            .map(String::from)
            .into_iter()
            .filter(|form| !form.contains("nearest_of")),
    ) {
        draw::seed(3);
        let dry_runs = (dry(student_shapes, 1), dry(teacher_shapes, 2));
        let objective = of_form(&name)
            .init(&dry_runs.0, Some(&dry_runs.1), &device())
            .unwrap();
        let (student, leaves) = shown(student_shapes, BATCH, 1);
        let (teacher, _) = shown(teacher_shapes, BATCH, 2);
        let targets = targets();
        let total = |student: &Output| {
            let pair = batch(student, &teacher, &targets);
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
    fn moved<const D: usize>(
        tensor: &Tensor<D>,
        name: String,
        step: impl Fn(String, Tensor<1>) -> Tensor<1>,
    ) -> Tensor<D> {
        let flat = tensor.clone().reshape([tensor.shape().num_elements()]);
        step(name, flat).reshape(tensor.dims())
    }
    let all = Taps::all();
    let mut stepped = Output::new(moved(&output.logits, "logits".into(), &step));
    stepped.boxes.clone_from(&output.boxes);
    for (part, level, value) in output.kept() {
        let name = || leaf_name(part, level);
        let value: PartValue = match value {
            PartValue::Rank2(rows) => moved(rows, name(), &step).into(),
            PartValue::Rank3(tokens) => moved(tokens, name(), &step).into(),
            PartValue::Rank4(map) => moved(map, name(), &step).into(),
            layer => layer.clone(),
        };
        stepped.push(part, &value, &all);
    }
    stepped
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
        let levels = 0..teacher.levels(Part::Maps);
        let far: Vec<Tensor<4>> = levels
            .map(|level| teacher.map(level).unwrap() * 0.0 + 1e4)
            .collect();
        teacher.remove(Part::Maps);
        for map in &far {
            teacher.push(Part::Maps, map, &Taps::all());
        }
        let targets = targets();
        let loss = term.forward(&batch(&student, &teacher, &targets), &STEP);
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
        let targets = targets();
        let loss = term.forward(&batch(&student, &teacher, &targets), &STEP);
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
        let targets = targets();
        let step = Step { epoch, ..STEP };
        let loss = term.forward(&batch(&student, &teacher, &targets), &step);
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
    student.remove(Part::MapsPreact);
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

#[test]
fn what_a_method_says_it_reads_is_what_it_taps() {
    for method in methods() {
        let config: ObjectiveConfig =
            serde_json::from_str(&format!(r#"{{ "{}": {{}} }}"#, method.name)).unwrap();
        let config = config.with_samples(4).unwrap();
        let (student, teacher) = &networks()[0];
        let (student, teacher) = (dry(student, 1), dry(teacher, 2));
        let objective = config.init(&student, Some(&teacher), &device()).unwrap();
        let taps = objective.taps();
        let taps = taps.student.union(taps.teacher);
        let tapped: Vec<Part> = taps.iter().map(|(part, _)| part).collect();
        let mut reads = method.reads.to_vec();
        reads.sort();
        assert_eq!(reads, tapped, "{}", method.name);
    }
}
