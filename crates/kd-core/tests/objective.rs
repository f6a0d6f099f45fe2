//! An objective as a recipe spells it, and as a step of training sees it.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use burn::tensor::{Device, Int, Tensor};
use kd_core::terms::cross_entropy::CrossEntropyConfig;
use kd_core::terms::kd::KdConfig;
use kd_core::terms::rkd::RkdConfig;
use kd_core::{
    Error, Evaluation, ObjectiveConfig, Output, Pair, Part, Schedule, Step, Taps, TermEntry,
    Varying,
};

const RECIPE: &str = r#"
[cross_entropy]
weight = 0.1

[kd]
weight = { schedule = "linear_warmup", to = 0.9, epochs = 20 }
temperature = 4

[hot]
temperature = 8.0
term = "kd"

[fitnet]
level = 1
"#;

fn read(text: &str) -> Result<ObjectiveConfig, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

fn message(text: &str) -> String {
    read(text).expect_err("a mistake")
}

#[test]
fn a_recipe_is_read_in_its_order_with_the_literatures_weights() {
    let config = read(RECIPE).unwrap();
    let names: Vec<_> = config
        .terms
        .iter()
        .map(|(name, entry)| (name.as_str(), entry.term.name()))
        .collect();
    assert_eq!(
        names,
        [
            ("cross_entropy", "cross_entropy"),
            ("kd", "kd"),
            ("hot", "kd"),
            ("fitnet", "fitnet")
        ]
    );
    let weights: Vec<_> = config
        .terms
        .iter()
        .map(|(_, entry)| entry.weight.clone().unwrap())
        .collect();
    let warm_up = Varying::LinearWarmup {
        to: 0.9,
        epochs: 20,
    };
    assert_eq!(
        weights,
        [
            Schedule::Constant(0.1),
            Schedule::Varying(warm_up),
            Schedule::Constant(0.9),
            Schedule::Constant(100.0)
        ]
    );
    assert_eq!(
        config.terms[2].1,
        TermEntry::new(KdConfig {
            temperature: 8.0.into()
        })
        .with_weight(0.9)
    );
}

#[test]
fn what_is_written_is_read_back() {
    let config = read(RECIPE).unwrap();
    let toml = toml::to_string(&config).unwrap();
    assert_eq!(toml::from_str::<ObjectiveConfig>(&toml).unwrap(), config);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(
        serde_json::from_str::<ObjectiveConfig>(&json).unwrap(),
        config
    );
    assert_eq!(
        json,
        concat!(
            r#"{"cross_entropy":{"weight":0.1,"smoothing":0.0},"#,
            r#""kd":{"temperature":4.0,"weight":{"schedule":"linear_warmup","to":0.9,"epochs":20}},"#,
            r#""hot":{"term":"kd","weight":0.9,"temperature":8.0},"#,
            r#""fitnet":{"weight":100.0,"level":1}}"#
        )
    );
}

#[test]
fn mistakes_get_the_name_that_was_meant() {
    for (text, expected) in [
        (
            "[kdd]",
            "objective.kdd: unknown term `kdd`, did you mean `kd`?; the terms are \
             `cross_entropy`, `kd`, `dkd`, `lskd`, `mlkd`, `ctkd`, `wsld`, ",
        ),
        (
            "[hot]\nterm = \"crossentropy\"",
            "objective.hot: unknown term `crossentropy`, did you mean `cross_entropy`?",
        ),
        (
            "[kd]\ntemprature = 4.0",
            "objective.kd: unknown key `temprature`, did you mean `temperature`?; the keys of kd \
             are `weight`, `term`, `temperature`",
        ),
        ("[kd]\nwieght = 1", "did you mean `weight`?"),
        (
            "[dkd]\nalpha = \"high\"",
            "objective.dkd: `alpha`: invalid type: string \"high\", expected f64",
        ),
        (
            "[fitnet]\nlevel = -1",
            "objective.fitnet: `level`: invalid value",
        ),
        (
            "[kd]\nweight = \"high\"",
            "objective.kd: `weight`: invalid type: string \"high\", expected a number, or a table",
        ),
        (
            "[kd]\nweight = { schedule = \"linear\", to = 1.0 }",
            "expected one of `linear_warmup`, `cosine`, `step`",
        ),
        (
            "[kd]\nterm = 3",
            "objective.kd: `term` must be the name of a term, not 3",
        ),
        (
            "[kd]\ntemperature = nan",
            "objective.kd: `temperature` must be a finite number",
        ),
        (
            "[kd]\nweight = inf",
            "objective.kd: `weight` must be a finite number",
        ),
        (
            "kd = 0.9",
            "objective.kd: must be a table with the term's keys",
        ),
        (
            "[[kd]]\nweight = 1",
            "objective.kd: must be a table with the term's keys",
        ),
    ] {
        let found = message(text);
        assert!(found.contains(expected), "{text}\n{found}");
    }
}

#[test]
fn a_message_points_at_the_table_of_the_mistake() {
    let found = message("[cross_entropy]\nweight = 1\n\n[kd]\ntemprature = 4.0\n");
    assert!(found.contains("line 4"), "{found}");
}

#[test]
fn a_name_given_twice_is_refused() {
    let twice = r#"{ "kd": {}, "kd": {} }"#;
    let found = serde_json::from_str::<ObjectiveConfig>(twice).unwrap_err();
    assert!(
        found.to_string().contains("objective.kd is given twice"),
        "{found}"
    );
}

fn device() -> Device {
    Device::flex().autodiff()
}

fn evaluate(config: &ObjectiveConfig, student: &Output, teacher: Option<&Output>) -> Evaluation {
    let objective = config
        .init(student, teacher, &device())
        .expect("networks that fit");
    let targets = Tensor::<1, Int>::from_ints([2, 0], &device()).into();
    let pair = Pair {
        student,
        teacher,
        targets: &targets,
        indices: None,
    };
    let step = Step {
        epoch: 1,
        epochs: 10,
        index: 0,
    };
    objective.forward(&pair, &step).expect("a loss")
}

fn logits() -> Tensor<2> {
    Tensor::from_floats([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]], &device()).require_grad()
}

fn value(tensor: Tensor<1>) -> f32 {
    tensor.into_scalar()
}

#[test]
fn the_total_is_the_weighted_sum_of_the_components() {
    let teacher = Output::new(Tensor::from_floats(
        [[2.0, 0.0, 1.0], [1.0, 1.0, -1.0]],
        &device(),
    ));
    let config = read(
        "[cross_entropy]\nweight = 0.1\n[kd]\nweight = { schedule = \"linear_warmup\", to = 0.8, epochs = 4 }",
    )
    .unwrap();
    let found = evaluate(&config, &Output::new(logits()), Some(&teacher));
    let [ce, kd] = &found.components[..] else {
        panic!("two components")
    };
    assert_eq!((ce.name.as_str(), ce.weight), ("cross_entropy", 0.1));
    assert_eq!((kd.name.as_str(), kd.weight), ("kd", 0.2));
    let sum = 0.1 * value(ce.value.clone()) + 0.2 * value(kd.value.clone());
    assert!((value(found.total) - sum).abs() < 1e-6);
}

#[test]
fn a_term_without_weight_is_reported_but_cannot_spoil_the_total() {
    let leaf = logits();
    let mut student = Output::new(leaf.clone());
    let embedding = Tensor::<2>::full([2, 2], f32::NAN, &device());
    student.push(Part::Embedding, &embedding, &Taps::all());
    let silent = TermEntry::new(RkdConfig::default()).with_weight(0.0);
    let config = ObjectiveConfig::default()
        .with(
            "cross_entropy",
            TermEntry::new(CrossEntropyConfig::default()),
        )
        .with("rkd", silent.clone());
    let found = evaluate(&config, &student, Some(&student.clone()));
    assert!(value(found.components[1].value.clone()).is_nan());
    assert!(value(found.total.clone()).is_finite());
    let gradient = leaf.grad(&found.total.backward()).unwrap();
    assert!(gradient.into_data().iter::<f32>().all(f32::is_finite));

    let nothing = ObjectiveConfig::default().with("rkd", silent);
    let found = evaluate(&nothing, &student, Some(&student.clone()));
    assert_eq!(value(found.total.clone()), 0.0);
    let gradient = leaf.grad(&found.total.backward()).unwrap();
    assert!(gradient.into_data().iter::<f32>().all(|g| g == 0.0));
}

#[test]
fn taps_are_what_the_terms_ask_for_together() {
    let mut output = Output::new(logits());
    let embedding = Tensor::<2>::zeros([2, 4], &device());
    output.push(Part::Embedding, &embedding, &Taps::all());
    let config = read("[cross_entropy]\n[kd]\n[rkd]").unwrap();
    let objective = config.init(&output, Some(&output), &device()).unwrap();
    assert!(objective.needs_teacher() && config.needs_teacher());
    assert!(objective.taps().student.wants(Part::Embedding, 0));
    assert!(objective.taps().teacher.wants(Part::Embedding, 0));
    assert_eq!(
        objective.names().collect::<Vec<_>>(),
        ["cross_entropy", "kd", "rkd"]
    );
    let alone = read("[cross_entropy]").unwrap();
    assert!(!alone.needs_teacher());
    assert_eq!(
        alone.init(&output, None, &device()).unwrap().taps(),
        Default::default()
    );
}

#[test]
fn an_empty_objective_is_refused() {
    let student = Output::new(logits());
    assert_eq!(
        read("")
            .unwrap()
            .init(&student, None, &device())
            .unwrap_err(),
        Error::NoTerms
    );
}
