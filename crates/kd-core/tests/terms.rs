//! Terms built from a dry run, and the catalogue.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::module::Module;
use burn::tensor::{DType, Device, Distribution, Int, Tensor, TensorData};
use kd_core::terms::cross_entropy::{cross_entropy, soft_cross_entropy};
use kd_core::terms::dkd::{DkdConfig, dkd};
use kd_core::terms::fitnet::FitNetConfig;
use kd_core::terms::kd::{KdConfig, kd};
use kd_core::terms::rkd::{RkdConfig, rkd_angle, rkd_distance};
use kd_core::{
    Error, Levels, ObjectiveConfig, Output, Pair, Part, Schedule, Step, Taps, Targets, TermConfig,
    TermEntry, Varying, methods,
};

const STEP: Step = Step {
    epoch: 1,
    epochs: 3,
    index: 0,
};

fn device() -> Device {
    Device::flex().autodiff()
}

fn output(batch: usize, classes: usize) -> Output {
    Output::new(Tensor::random(
        [batch, classes],
        Distribution::Normal(0.0, 1.0),
        &device(),
    ))
}

fn with_map(batch: usize, shape: [usize; 3]) -> Output {
    let [channels, height, width] = shape;
    let map = Tensor::<4>::random(
        [batch, channels, height, width],
        Distribution::Normal(0.0, 1.0),
        &device(),
    );
    let mut output = output(batch, 3);
    for _ in 0..3 {
        output.push(Part::Maps, &map, &Taps::all());
    }
    output
}

/// Values and gradients of PyTorch's `cross_entropy` with shares of classes.
#[test]
fn shares_of_classes_are_as_in_pytorch() {
    let rows = |values: [[f64; 3]; 2]| Tensor::<2>::from_data(values, (&device(), DType::F64));
    let plain = [
        [
            -0.22314190918248736,
            -0.12169413387976435,
            0.3448360430622518,
        ],
        [0.27509181326904, 0.014241719590461, -0.289333532859501],
    ];
    let smoothed = [
        [
            -0.20480857584915405,
            -0.12336080054643103,
            0.32816937639558513,
        ],
        [
            0.2584251466023733,
            0.017575052923794326,
            -0.27600019952616767,
        ],
    ];
    for (smoothing, value, slopes) in [
        (0.0, 2.234521110948213, plain),
        (0.1, 2.1761877776148797, smoothed),
    ] {
        let logits = rows([[1.0, -0.5, 2.0], [0.25, 0.0, -3.0]]).require_grad();
        let shares = rows([[0.7, 0.3, 0.0], [0.0, 0.4, 0.6]]);
        let loss = soft_cross_entropy(logits.clone(), shares, smoothing).unwrap();
        let gradients = loss.backward();
        assert!((loss.into_scalar::<f64>() - value).abs() < 1e-12);
        let found = logits.grad(&gradients).unwrap().into_data();
        for (found, want) in found.iter::<f64>().zip(slopes.as_flattened()) {
            assert!((found - want).abs() < 1e-12, "{found} {want}");
        }
    }
    // Shares of 0 and 1 are labels.
    let logits = output(2, 3).logits;
    let labels = Tensor::<1, Int>::from_data([2, 0], &device());
    let hard = cross_entropy(logits.clone(), labels, 0.1).unwrap();
    let shares = Tensor::from_data([[0.0f32, 0.0, 1.0], [1.0, 0.0, 0.0]], &device());
    let soft = soft_cross_entropy(logits.clone(), shares, 0.1).unwrap();
    let (hard, soft): (f32, f32) = (hard.into_scalar(), soft.into_scalar());
    assert!((hard - soft).abs() < 1e-6, "{hard} {soft}");
    let narrow = Tensor::from_data([[1.0f32, 0.0], [0.0, 1.0]], &device());
    let error = soft_cross_entropy(logits, narrow, 0.0)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("[2, 3], and shares of classes of shape [2, 2]"),
        "{error}"
    );
}

#[test]
fn the_hint_reaches_a_teacher_of_any_size() {
    let targets = Targets::labels(Tensor::<1, Int>::zeros([2], &device()));
    for (student, teacher) in [
        ([4, 8, 8], [6, 8, 8]),
        ([4, 8, 8], [6, 4, 4]),
        ([4, 4, 4], [6, 8, 8]),
        ([4, 8, 8], [6, 2, 2]),
        ([4, 2, 2], [6, 8, 8]),
        ([4, 7, 7], [6, 5, 5]),
        ([4, 5, 5], [6, 7, 7]),
        ([4, 8, 2], [6, 4, 4]),
        ([4, 1, 1], [6, 1, 1]),
    ] {
        let dry = (with_map(1, student), with_map(1, teacher));
        let term = TermConfig::from(FitNetConfig::default())
            .init(&dry.0, Some(&dry.1), &device())
            .unwrap();
        assert_eq!(*term.taps().student.get(Part::Maps), Levels::one(2));
        assert_eq!(*term.taps().teacher.get(Part::Maps), Levels::one(2));
        let (student, teacher) = (with_map(2, student), with_map(2, teacher));
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        let loss = term.forward(&pair, &STEP).unwrap();
        let gradients = burn::optim::GradientsParams::from_grads(loss.backward(), &term);
        assert!(loss.into_scalar::<f32>().is_finite());
        // The projection's weight and bias, BatchNorm's scale and shift.
        assert_eq!(gradients.len(), 4);
    }
}

#[test]
fn the_hint_is_as_far_from_the_last_map_in_both_networks() {
    let levels = |count: usize| {
        let mut network = output(1, 3);
        for level in 0..count {
            let map = Tensor::<4>::zeros([1, 2 + level, 4, 4], &device());
            network.push(Part::Maps, &map, &Taps::all());
        }
        network
    };
    let taps = |level: usize, student: usize, teacher: usize| {
        let term = FitNetConfig { level }.init(&levels(student), Some(&levels(teacher)), &device());
        let taps = term.unwrap().taps();
        let of = |taps: Taps| taps.get(Part::Maps).clone();
        [of(taps.student), of(taps.teacher)]
    };
    // The last map of a student of two stages meets that of a teacher of four.
    assert_eq!(taps(2, 3, 5), [2, 4].map(Levels::one));
    assert_eq!(taps(2, 4, 4), [2, 2].map(Levels::one));
    assert_eq!(taps(3, 5, 4), [3, 2].map(Levels::one));
    let nothing = FitNetConfig { level: 0 }.init(&levels(5), Some(&levels(4)), &device());
    assert_eq!(
        nothing.unwrap_err().to_string(),
        "level = 0: the levels of the student that the teacher has too are 1 to 4, counted from the last"
    );
}

#[test]
fn the_adapter_counts_what_the_dry_run_showed() {
    let (student, teacher) = (with_map(1, [4, 8, 8]), with_map(1, [6, 8, 8]));
    let objective = ObjectiveConfig::default()
        .with("hint", TermEntry::new(FitNetConfig { level: 1 }))
        .init(&student, Some(&teacher), &device())
        .unwrap();
    let expected = 4 * 6 + 6 + 2 * 6;
    assert_eq!(objective.num_params(), expected + 2 * 6);
    let wider = with_map(2, [5, 8, 8]);
    let targets = Targets::labels(Tensor::zeros([2], &device()));
    let pair = Pair {
        student: &wider,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    let message = objective.forward(&pair, &STEP).unwrap_err().to_string();
    assert!(
        message.starts_with("objective.hint: fitnet: the student's map has shape [2, 5, 8, 8]")
    );
}

#[test]
fn networks_that_cannot_be_compared_are_refused_at_the_start() {
    let (three, four) = (output(1, 3), output(1, 4));
    let start = |term: TermConfig, teacher: Option<&Output>| {
        ObjectiveConfig::default()
            .with("x", TermEntry::new(term))
            .init(&three, teacher, &device())
            .unwrap_err()
            .to_string()
    };
    assert!(
        start(KdConfig::default().into(), Some(&four))
            .starts_with("objective.x: kd: the student has 3 classes and the teacher 4")
    );
    assert!(
        start(DkdConfig::default().into(), Some(&four))
            .starts_with("objective.x: dkd: the student has 3 classes")
    );
    for term in methods().iter().filter(|m| m.teacher) {
        let config: ObjectiveConfig =
            serde_json::from_value(serde_json::json!({ "x": { "term": term.name } })).unwrap();
        assert!(config.needs_teacher());
        let problem = config.init(&with_map(1, [4, 2, 2]), None, &device());
        assert_eq!(
            problem.unwrap_err().to_string(),
            "objective.x: this term compares with a teacher, and the run has none"
        );
    }
    assert_eq!(
        start(RkdConfig::default().into(), Some(&four)),
        "objective.x: the network's output has no embedding"
    );
    assert_eq!(
        start(FitNetConfig::default().into(), Some(&four)),
        "objective.x.level = 2: the student has no feature maps"
    );
    let maps = with_map(1, [4, 2, 2]);
    let message = TermConfig::from(FitNetConfig { level: 3 })
        .init(&maps, Some(&maps), &device())
        .unwrap_err();
    assert_eq!(
        message.to_string(),
        "level = 3: the levels of the student that the teacher has too are 0 to 2, counted from the last"
    );
}

#[test]
fn values_out_of_range_name_their_key() {
    let (student, teacher) = (output(1, 3), output(1, 3));
    let message = |text: &str| {
        let config: ObjectiveConfig = serde_json::from_str(text).unwrap();
        config
            .init(&student, Some(&teacher), &device())
            .unwrap_err()
            .to_string()
    };
    for (text, start) in [
        (
            r#"{"kd":{"temperature":0}}"#,
            "objective.kd.temperature = 0: must be",
        ),
        (
            r#"{"kd":{"temperature":{"schedule":"cosine","from":4.0,"to":-1.0}}}"#,
            "objective.kd.temperature.to = -1: must be",
        ),
        (
            r#"{"dkd":{"alpha":-1}}"#,
            "objective.dkd.alpha = -1: must be",
        ),
        (r#"{"dkd":{"beta":-1}}"#, "objective.dkd.beta = -1: must be"),
        (
            r#"{"dkd":{"temperature":-4}}"#,
            "objective.dkd.temperature = -4: must be",
        ),
        (
            r#"{"ce":{"term":"cross_entropy","smoothing":1.0}}"#,
            "objective.ce.smoothing = 1: must be",
        ),
        (
            r#"{"rkd":{"distance":-1}}"#,
            "objective.rkd.distance = -1: must be",
        ),
        (
            r#"{"rkd":{"distance":0,"angle":0}}"#,
            "objective.rkd.distance = 0, and angle = 0",
        ),
        (
            r#"{"crd":{"negatives":100000000000}}"#,
            "objective.crd.negatives = 100000000000: must be at most 16777216",
        ),
        (
            r#"{"kd":{"weight":-0.9}}"#,
            "objective.kd.weight = -0.9: must be a number of at least 0",
        ),
    ] {
        let message = message(text);
        assert!(message.starts_with(start), "{message}");
    }
    let infinite = ObjectiveConfig::default().with(
        "kd",
        TermEntry::new(KdConfig::default()).with_weight(f64::INFINITY),
    );
    assert_eq!(
        infinite
            .init(&student, Some(&teacher), &device())
            .unwrap_err(),
        Error::Config {
            key: "objective.kd.weight".into(),
            value: "inf".into(),
            expected: "must be a number of at least 0 at every epoch".into()
        }
    );
}

#[test]
fn kd_follows_a_schedule_of_temperatures() {
    let (student, teacher) = (output(2, 3), output(2, 3));
    let targets = Targets::labels(Tensor::zeros([2], &device()));
    let term = TermConfig::from(KdConfig {
        temperature: Schedule::Varying(Varying::Cosine { from: 8.0, to: 2.0 }),
    })
    .init(&student, Some(&teacher), &device())
    .unwrap();
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    for (epoch, temperature) in [(1, 8.0), (3, 2.0)] {
        let found = term.forward(&pair, &Step { epoch, ..STEP }).unwrap();
        let expected = kd(student.logits.clone(), teacher.logits.clone(), temperature).unwrap();
        assert_eq!(found.into_scalar::<f32>(), expected.into_scalar::<f32>());
    }
}

/// `sin(0.7 i + phase) + 0.3 cos(1.3 i + 2 phase)`, times `scale`.
fn waves(shape: [usize; 2], phase: f64, scale: f64) -> Tensor<2> {
    let values: Vec<f32> = (0..shape[0] * shape[1])
        .map(|i| i as f64)
        .map(|i| scale * ((0.7 * i + phase).sin() + 0.3 * (1.3 * i + 2.0 * phase).cos()))
        .map(|value| value as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

#[test]
fn values_of_the_methods_own_code() {
    let (student, teacher) = (waves([4, 5], 0.1, 2.0), waves([4, 5], 1.1, 3.0));
    let labels = Tensor::from_ints([0, 3, 1, 4], &Device::flex());
    let part = |alpha, beta| {
        let config = DkdConfig {
            alpha,
            beta,
            temperature: 4.0,
            ..DkdConfig::default()
        };
        dkd(student.clone(), teacher.clone(), labels.clone(), &config)
    };
    let (narrow, wide) = (waves([4, 6], 0.2, 1.0), waves([4, 8], 0.9, 1.0));
    for (name, found, expected) in [
        (
            "kd",
            kd(student.clone(), teacher.clone(), 4.0),
            1.189632052189047,
        ),
        ("tckd", part(1.0, 0.0), 0.3155334378384943),
        ("nckd", part(0.0, 1.0), 1.223783340265301),
        ("dkd", part(1.0, 8.0), 10.105800159960902),
        (
            "distance",
            rkd_distance(narrow.clone(), wide.clone()),
            0.14051102755472658,
        ),
        ("angle", rkd_angle(narrow, wide), 0.11480585735341468),
    ] {
        let found = f64::from(found.unwrap().into_scalar::<f32>());
        kd_goldens::assert_close(name, found, expected, 1e-5, 0.0);
    }
}

#[test]
fn the_catalogue_shows_the_literatures_defaults() {
    let methods = methods();
    let names: Vec<_> = methods.iter().map(|m| m.name).collect();
    assert_eq!(names, TermConfig::NAMES);
    let shown: Vec<String> = methods
        .iter()
        .map(|m| {
            let keys: Vec<_> = m.defaults.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{} {} {}", m.name, m.weight, keys.join(" "))
        })
        .collect();
    assert_eq!(
        shown,
        [
            "cross_entropy 1 smoothing=0.0",
            "kd 0.9 temperature=4.0",
            "dkd 1 alpha=1.0 beta=8.0 temperature=4.0 standardize=false",
            "lskd 9 temperature=2.0",
            "mlkd 0.45 temperatures=[2.0,3.0,4.0,5.0,6.0] sample=3.0 batch=1.0 class=1.0 standardize=false \
             mask=\"none\"",
            "ctkd 0.9 start=1.0 range=20.0 reversal=1.0 ramp=10 standardize=false",
            "wsld 2.5 temperature=2.0",
            "dist 1 beta=1.0 gamma=1.0 temperature=1.0",
            "reverse_kl 1 temperature=1.0",
            "gjsd 1 beta=0.5 scaling=\"paper\" temperature=1.0",
            "hard_labels 0.5 ",
            "squared_logits 1 ",
            "bce 1 temperature=1.0",
            "ofakd 1 levels=[] gamma=1.0 temperature=1.0",
            "byot 1 levels=[] alpha=0.3 hint=0.03 temperature=3.0 form=\"authors\"",
            "topk_kl 1 k=16 missing=\"zero\" temperature=1.0",
            "uld 1 ",
            "tinybert_prediction 1 temperature=1.0",
            "fitnet 100 level=2",
            "at 1000 levels=[] scaling=\"mean\"",
            "nst 50 levels=[]",
            "vid 1 levels=[] variance=5.0",
            "ab 1 levels=[] margin=1.0",
            "ft 200 rate=0.5 form=\"attention\" reconstruction=0.005 paraphraser_epochs=0",
            "fsp 50 levels=[]",
            "kdsvd 1 levels=[] exact=false nearest_of=1",
            "ofd 0.001 levels=[]",
            "reviewkd 1 levels=[]",
            "cwd 50 levels=[] temperature=4.0",
            "pkd 6 levels=[]",
            "mgd 0.00002 levels=[] masked=\"positions\" mask=0.65 seed=0",
            "ickd 2.5 ",
            "simkd 1 ",
            "camkd 50 ",
            "srrl 1 feature=1.0 regression=1.0 connect=\"embedding\"",
            "sp 3000 ",
            "pkt 30000 ",
            "rkd 1 distance=25.0 angle=50.0 difference=\"huber\" samples=0 seed=0",
            "cc 100 kernel=\"rbf\" gamma=0.4 order=2",
            "crd 0.8 dim=128 negatives=16384 temperature=0.07 momentum=0.5 samples=0 seed=0",
            "lsp 10 kernel=\"gaussian\" sigma=1.0 direction=\"student\"",
            "deit 1 form=\"hard\" alpha=0.5 temperature=1.0 smoothing=0.1",
            "lg 2.5 levels=[]",
            "cosine_hidden 1 levels=[]",
            "minilm 1 ",
            "minilm_relation 1 relations=[\"queries\",\"keys\",\"values\"] layer=0 teacher_layer=0 \
             relation_heads=48",
            "tinybert_attention 1 levels=[] include_padding=false",
            "tinybert_hidden 1 levels=[] include_padding=false",
            "pkd_bert 100 layers=\"skip\"",
            "detection_loss 1 boxes=1.0 negatives=3",
            "box_head 1 temperature=2.0 boxes=0.5 form=\"kd\" alpha=1.0 beta=0.25 at_default_boxes=1",
            "matched_detections 1 temperature=2.0 boxes=0.5 regions=100",
            "fgd 1 levels=[] temperature=0.5 alpha=0.00005 beta=0.000025 gamma=0.00005 lambda=5e-7",
            "fine_grained 0.01 levels=[] threshold=0.5 sizes=[4.0,8.0] ratios=[0.5,1.0,2.0]",
            "fbkd 1 levels=[] temperature=0.5 maps=0.00007 channels=0.004 positions=0.004 relations=0.00007 reduction=2",
            "crosskd 1 layer=3 beta=1.0 classes=1.0 boxes=1.0",
        ]
    );
    assert_eq!(RkdConfig::default().angle, 50.0);
}

#[test]
fn the_catalogue_keeps_a_group_together() {
    let mut groups: Vec<_> = methods().into_iter().map(|m| m.group).collect();
    groups.dedup();
    assert_eq!(
        groups,
        [
            "logits",
            "features",
            "relations",
            "transformers",
            "detection"
        ]
    );
}

#[test]
fn a_part_that_is_not_there_is_named() {
    let mut output = with_map(1, [4, 2, 2]);
    output.skip(Part::Embedding);
    let message = |problem: Error| problem.to_string();
    assert_eq!(
        message(output.map(3).unwrap_err()),
        "the network's output has no level 3 of maps (this network has 3)"
    );
    assert_eq!(
        message(output.embedding().unwrap_err()),
        "the network's output has no embedding"
    );
    assert_eq!(
        message(output.classifier().unwrap_err()),
        "the network's output has no classifier"
    );
    let flat = output.get::<Tensor<2>>(Part::Maps, 0).unwrap_err();
    assert!(message(flat).contains("it is Rank4"));
}
