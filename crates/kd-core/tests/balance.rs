//! Objectives whose weights find themselves.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

use std::collections::BTreeMap;

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor};
use kd_core::balance::uncertainty;
use kd_core::terms::cross_entropy::{CrossEntropyConfig, cross_entropy};
use kd_core::terms::kd::{KdConfig, kd};
use kd_core::terms::vid::VidConfig;
use kd_core::{
    Balance, Error, Evaluation, GradientNorm, Objective, ObjectiveConfig, Output, Pair, Schedule,
    Step, TermEntry,
};

fn device() -> Device {
    Device::flex().autodiff()
}

fn logits(values: [f32; 6]) -> Tensor<2> {
    let flat = Tensor::<1>::from_floats(values, &device());
    flat.reshape([2, 3]).require_grad()
}

fn student() -> Tensor<2> {
    logits([1.0, -2.0, 0.5, 0.0, 3.0, 1.0])
}

fn teacher() -> Tensor<2> {
    logits([2.0, 0.0, 1.0, 1.0, 1.0, -1.0])
}

fn labels() -> Tensor<1, Int> {
    Tensor::from_ints([2, 0], &device())
}

fn step(index: usize) -> Step {
    Step {
        epoch: 1,
        epochs: 10,
        index,
    }
}

fn evaluate(objective: &Objective, student: &Tensor<2>, index: usize) -> Evaluation {
    let (student, teacher) = (Output::new(student.clone()), Output::new(teacher()));
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &labels().into(),
        indices: None,
    };
    objective.forward(&pair, &step(index)).unwrap()
}

fn read(text: &str) -> Result<ObjectiveConfig, String> {
    toml::from_str(text).map_err(|e| e.to_string())
}

fn built(text: &str) -> Result<Objective, Error> {
    let (student, teacher) = (Output::new(student()), Output::new(teacher()));
    read(text)
        .unwrap()
        .init(&student, Some(&teacher), &device())
}

fn value(tensor: Tensor<1>) -> f64 {
    tensor.into_scalar::<f32>().into()
}

fn close(found: f64, expected: f64) {
    let off = (found - expected).abs();
    assert!(off < 1e-5 * expected.abs().max(1.0), "{found} {expected}");
}

/// Values of the two terms, by their own functions.
fn values() -> [f64; 2] {
    [
        value(cross_entropy(student(), labels(), 0.0).unwrap()),
        value(kd(student(), teacher(), 4.0).unwrap()),
    ]
}

#[test]
fn a_log_variance_divides_its_loss_and_pays_for_it() {
    // At s = ln 4 a loss of 6 counts a quarter, and ln 2 is added.
    let loss = Tensor::<1>::from_floats([6.0], &device()).require_grad();
    let log = Tensor::<1>::from_floats([4f32.ln()], &device()).require_grad();
    let found = uncertainty(loss.clone(), log.clone());
    let gradients = found.backward();
    close(value(found), 1.5 + 2f64.ln());
    close(
        value(Tensor::from_inner(loss.grad(&gradients).unwrap())),
        0.25,
    );
    close(
        value(Tensor::from_inner(log.grad(&gradients).unwrap())),
        0.5 - 1.5,
    );
    // Where the loss counts a half, nothing is gained by another variance.
    let at = |loss: f32| {
        let log = Tensor::<1>::from_floats([(2.0 * loss).ln()], &device()).require_grad();
        let loss = Tensor::<1>::from_floats([loss], &device());
        let gradients = uncertainty(loss, log.clone()).backward();
        value(Tensor::from_inner(log.grad(&gradients).unwrap()))
    };
    assert!(at(0.01).abs() < 1e-6 && at(300.0).abs() < 1e-6);
}

const LEARNED: &str =
    "balance = \"uncertainty\"\n[cross_entropy]\nweight = 0.5\n[kd]\nweight = 3.0\n";

#[test]
fn at_first_the_weights_are_those_of_the_recipe() {
    let objective = built(LEARNED).unwrap();
    assert_eq!(objective.balance(), Some(&Balance::Uncertainty));
    assert_eq!(objective.num_params(), 2);
    let found = evaluate(&objective, &student(), 0);
    let [ce, soft] = values();
    close(value(found.total), 0.5 * ce + 3.0 * soft);
    let weights: Vec<f64> = found.components.iter().map(|c| c.weight).collect();
    assert_eq!(weights, [0.5, 3.0]);
    close(value(found.components[1].value.clone()), soft);
}

#[test]
fn learned_weights_move_towards_a_half_each() {
    let mut objective = built(LEARNED).unwrap();
    let mut optimizer = SgdConfig::new().init();
    let [ce, soft] = values();
    let mut logs = [0.0_f64; 2];
    for index in 0..4 {
        let found = evaluate(&objective, &student(), index);
        // By hand: the same sum and the same descent.
        let shares = [0.5 * ce * (-logs[0]).exp(), 3.0 * soft * (-logs[1]).exp()];
        close(
            value(found.total.clone()),
            shares[0] + shares[1] + 0.5 * (logs[0] + logs[1]),
        );
        close(found.components[0].weight, 0.5 * (-logs[0]).exp());
        close(found.components[1].weight, 3.0 * (-logs[1]).exp());
        for (log, share) in logs.iter_mut().zip(shares) {
            *log -= 0.1 * (0.5 - share);
        }
        let gradients = GradientsParams::from_grads(found.total.backward(), &objective);
        assert_eq!(gradients.len(), 1);
        objective = optimizer.step(0.1, objective, gradients);
    }
    for index in 0..400 {
        let found = evaluate(&objective, &student(), index);
        let gradients = GradientsParams::from_grads(found.total.backward(), &objective);
        objective = optimizer.step(0.1, objective, gradients);
    }
    let found = evaluate(&objective, &student(), 0);
    for component in found.components {
        let share = component.weight * value(component.value);
        assert!((share - 0.5).abs() < 1e-3, "{} {share}", component.name);
    }
}

#[test]
fn the_students_gradient_is_that_of_the_effective_weights() {
    let mut objective = built(LEARNED).unwrap();
    let mut optimizer = SgdConfig::new().init();
    for index in 0..10 {
        let found = evaluate(&objective, &student(), index);
        let gradients = GradientsParams::from_grads(found.total.backward(), &objective);
        objective = optimizer.step(0.1, objective, gradients);
    }
    let leaf = student();
    let found = evaluate(&objective, &leaf, 0);
    let weights: Vec<f64> = found.components.iter().map(|c| c.weight).collect();
    let by_total = leaf.grad(&found.total.backward()).unwrap();
    let leaf = student();
    let sum = cross_entropy(leaf.clone(), labels(), 0.0).unwrap() * weights[0]
        + kd(leaf.clone(), teacher(), 4.0).unwrap() * weights[1];
    let by_hand = leaf.grad(&sum.backward()).unwrap();
    let off: f32 = (by_total - by_hand).abs().max().into_scalar();
    assert!(off < 1e-6, "{off}");
}

#[test]
fn what_has_no_weight_learns_none() {
    let objective =
        built("balance = \"uncertainty\"\n[cross_entropy]\n[kd]\nweight = 0.0\n").unwrap();
    let found = evaluate(&objective, &student(), 0);
    assert_eq!(found.components[1].weight, 0.0);
    close(value(found.total.clone()), values()[0]);
    let gradients = GradientsParams::from_grads(found.total.backward(), &objective);
    let mut optimizer = SgdConfig::new().init();
    let objective = optimizer.step(0.1, objective, gradients);
    let found = evaluate(&objective, &student(), 0);
    assert!(found.components[0].weight != 1.0);
    // Its variance is where it was: it counts as before when its time comes.
    let record = objective.into_record();
    let heard = built("balance = \"uncertainty\"\n[cross_entropy]\n[kd]\nweight = 2.0\n").unwrap();
    let heard = heard.load_record(record);
    assert_eq!(evaluate(&heard, &student(), 0).components[1].weight, 2.0);
}

const MEASURED: &str = "[hint]\nterm = \"kd\"\nweight = 3.0\n[cross_entropy]\n[kd]\n[silent]\nterm = \
                        \"kd\"\nweight = 0\n[balance]\nrule = \"gradient_norm\"\nevery = 5\nsmoothing = 0.75\n";

#[test]
fn measurements_are_asked_for_every_so_many_steps() {
    let objective = built(MEASURED).unwrap();
    let wanted = ["cross_entropy", "hint", "kd"];
    assert_eq!(objective.to_measure(&step(0)), wanted);
    assert_eq!(objective.to_measure(&step(10)), wanted);
    for index in [1, 4, 6] {
        assert!(objective.to_measure(&step(index)).is_empty());
    }
    assert!(built(LEARNED).unwrap().to_measure(&step(0)).is_empty());
    assert!(
        built("[cross_entropy]")
            .unwrap()
            .to_measure(&step(0))
            .is_empty()
    );
    // What is to be measured can be computed alone.
    let (student, teacher) = (Output::new(student()), Output::new(teacher()));
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &labels().into(),
        indices: None,
    };
    let [ce, soft] = values();
    let alone = |name| objective.component(name, &pair, &step(0));
    close(value(alone("cross_entropy").unwrap()), ce);
    close(value(alone("hint").unwrap()), soft);
    assert_eq!(
        alone("kdd").unwrap_err().to_string(),
        "objective = `kdd`: no such component, did you mean `kd`?; there are `hint`, `cross_entropy`, `kd`, \
         `silent`"
    );
}

fn norms(entries: &[(&str, f64)]) -> BTreeMap<String, f64> {
    entries
        .iter()
        .map(|(name, n)| ((*name).into(), *n))
        .collect()
}

#[test]
fn a_terms_gradient_becomes_weight_times_that_of_cross_entropy() {
    let mut objective = built(MEASURED).unwrap();
    // A weight that is not given is 1.
    let weights = |objective: &Objective| -> Vec<f64> {
        let found = evaluate(objective, &student(), 0);
        found.components.iter().map(|c| c.weight).collect()
    };
    assert_eq!(weights(&objective), [3.0, 1.0, 1.0, 0.0]);
    // As a trainer does, here for the gradient by the logits.
    let norm = |name: &str| {
        let leaf = student();
        let loss = match name {
            "cross_entropy" => cross_entropy(leaf.clone(), labels(), 0.0),
            _ => kd(leaf.clone(), teacher(), 4.0),
        };
        let gradient = leaf.grad(&loss.unwrap().backward()).unwrap();
        f64::from(gradient.square().sum().sqrt().into_scalar::<f32>())
    };
    let found: BTreeMap<String, f64> = objective
        .to_measure(&step(0))
        .into_iter()
        .map(|name| (name.to_owned(), norm(name)))
        .collect();
    let factors = objective.factors_from(&found).unwrap();
    objective.set_factors(&factors).unwrap();
    let [hint, ce, soft, silent] = weights(&objective)[..] else {
        panic!("four components")
    };
    close(hint * found["hint"], 3.0 * found["cross_entropy"]);
    close(soft * found["kd"], found["cross_entropy"]);
    assert_eq!([ce, silent], [1.0, 0.0]);
    // And the total's gradient is made of these.
    let leaf = student();
    let total = evaluate(&objective, &leaf, 1).total;
    let by_total = leaf.grad(&total.backward()).unwrap();
    let leaf = student();
    let sum = cross_entropy(leaf.clone(), labels(), 0.0).unwrap()
        + kd(leaf.clone(), teacher(), 4.0).unwrap() * (hint + soft);
    let by_hand = leaf.grad(&sum.backward()).unwrap();
    let off: f32 = (by_total - by_hand).abs().max().into_scalar();
    assert!(off < 1e-6, "{off}");
}

#[test]
fn later_measurements_move_a_factor_smoothly() {
    let mut objective = built(MEASURED).unwrap();
    let first = norms(&[("cross_entropy", 2.0), ("hint", 4.0), ("kd", 1.0)]);
    let factors = objective.factors_from(&first).unwrap();
    assert_eq!(factors, norms(&[("hint", 0.5), ("kd", 2.0)]));
    objective.set_factors(&factors).unwrap();
    assert_eq!(objective.factors(), factors);
    // ¾ · 0.5 + ¼ · 2.5; and what cannot be measured stays.
    let second = norms(&[("cross_entropy", 5.0), ("hint", 2.0), ("kd", 0.0)]);
    let factors = objective.factors_from(&second).unwrap();
    assert_eq!(factors, norms(&[("hint", 1.0), ("kd", 2.0)]));
    for silent in [
        norms(&[("cross_entropy", f64::NAN), ("hint", 2.0)]),
        norms(&[("cross_entropy", 0.0), ("hint", 2.0)]),
        norms(&[("hint", 2.0)]),
    ] {
        assert_eq!(
            objective.factors_from(&silent).unwrap(),
            objective.factors()
        );
    }
    // Without an entry a component has its own weight again.
    objective.set_factors(&BTreeMap::new()).unwrap();
    assert_eq!(
        evaluate(&objective, &student(), 0).components[0].weight,
        3.0
    );

    let message = |factors: &[(&str, f64)]| {
        let mut objective = built(MEASURED).unwrap();
        objective
            .set_factors(&norms(factors))
            .unwrap_err()
            .to_string()
    };
    assert!(message(&[("hnt", 1.0)]).contains("did you mean `hint`?"));
    assert!(message(&[("hint", 0.0)]).starts_with("the factor of objective.hint = 0: must be"));
    let unknown = objective.factors_from(&norms(&[("hnt", 1.0)]));
    assert!(
        unknown
            .unwrap_err()
            .to_string()
            .contains("did you mean `hint`?")
    );
}

#[test]
fn weights_are_the_literatures_unless_gradients_are_compared() {
    let weights = |text: &str| -> Vec<Schedule> {
        let terms = read(text).unwrap().terms;
        let weights = terms.into_iter().map(|(_, entry)| entry.weight);
        weights.map(Option::unwrap).collect()
    };
    let given = [Schedule::Constant(0.9), Schedule::Constant(7.0)];
    let one = [Schedule::Constant(1.0), Schedule::Constant(7.0)];
    let terms = "[kd]\n[hot]\nterm = \"kd\"\nweight = 7.0\n";
    assert_eq!(weights(terms), given);
    assert_eq!(
        weights(&format!("balance = \"uncertainty\"\n{terms}")),
        given
    );
    assert_eq!(
        weights(&format!("balance = \"gradient_norm\"\n{terms}")),
        one
    );
    let later = "[balance]\nrule = \"gradient_norm\"\n";
    assert_eq!(weights(&format!("{terms}{later}")), one);
    // The same without a recipe, in whichever order rule and terms come.
    let config = ObjectiveConfig::default().with("kd", TermEntry::new(KdConfig::default()));
    let hot = TermEntry::new(KdConfig::default()).with_weight(7.0);
    let config = config.with("hot", hot);
    let weights = |config: &ObjectiveConfig| -> Vec<Schedule> {
        let terms = config.terms.iter();
        terms.map(|(_, entry)| config.weight(entry)).collect()
    };
    assert_eq!(weights(&config), given);
    let learned = config.clone().with_balance(Balance::Uncertainty);
    assert_eq!(weights(&learned), given);
    let measured = config.with_balance(Balance::GradientNorm(GradientNorm::default()));
    assert_eq!(weights(&measured), one);
}

#[test]
fn a_rule_is_written_as_it_is_read() {
    let terms = "[cross_entropy]\n[kd]\n";
    for (text, expected) in [
        ("balance = \"uncertainty\"", Balance::Uncertainty),
        ("balance = { rule = \"uncertainty\" }", Balance::Uncertainty),
        (
            "balance = \"gradient_norm\"",
            Balance::GradientNorm(GradientNorm::default()),
        ),
        (
            "balance = { rule = \"gradient_norm\", every = 7, smoothing = 0.5 }",
            Balance::GradientNorm(GradientNorm {
                every: 7,
                smoothing: 0.5,
            }),
        ),
    ] {
        let config = read(&format!("{text}\n{terms}")).unwrap();
        assert_eq!(config.balance, Some(expected));
        assert_eq!(config.terms.len(), 2);
        let written = toml::to_string(&config).unwrap();
        assert_eq!(read(&written).unwrap(), config, "{written}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<ObjectiveConfig>(&json).unwrap(),
            config
        );
    }
    let json = serde_json::to_string(&read("balance = \"gradient_norm\"").unwrap()).unwrap();
    assert_eq!(
        json,
        r#"{"balance":{"rule":"gradient_norm","every":50,"smoothing":0.9}}"#
    );
    let json = serde_json::to_string(&read("balance = \"uncertainty\"").unwrap()).unwrap();
    assert_eq!(json, r#"{"balance":"uncertainty"}"#);
}

#[test]
fn a_rule_that_is_no_rule_gets_the_name_that_was_meant() {
    for (text, expected) in [
        (
            "balance = \"uncertanty\"",
            "objective.balance: unknown rule `uncertanty`, did you mean `uncertainty`?; the rules are \
             `uncertainty`, `gradient_norm`",
        ),
        (
            "balance = { rule = \"gradient\" }",
            "objective.balance: unknown rule `gradient`, did you mean `gradient_norm`?",
        ),
        (
            "balance = { rule = \"gradient_norm\", evry = 3 }",
            "objective.balance: unknown key `evry`, did you mean `every`?; the keys of gradient_norm are `rule`, \
             `every`, `smoothing`",
        ),
        (
            "balance = { rule = \"uncertainty\", every = 3 }",
            "objective.balance: unknown key `every`; uncertainty has no keys but `rule`",
        ),
        (
            "balance = { rule = \"gradient_norm\", every = -3 }",
            "objective.balance: `every`: invalid value",
        ),
        (
            "balance = { rule = \"gradient_norm\", smoothing = nan }",
            "objective.balance: `smoothing` must be a finite number",
        ),
        (
            "balance = 3",
            "objective.balance: must be the name of a rule",
        ),
        (
            "balance = { rule = 3 }",
            "objective.balance: `rule` must be the name of a rule, not 3",
        ),
        (
            "[balance]\nterm = \"kd\"",
            "objective.balance: is the key that balances weights, such as balance = \"uncertainty\"",
        ),
    ] {
        let found = read(text).unwrap_err();
        assert!(found.contains(expected), "{text}\n{found}");
    }
    let twice = r#"{ "balance": "uncertainty", "balance": "uncertainty" }"#;
    let found = serde_json::from_str::<ObjectiveConfig>(twice).unwrap_err();
    assert!(
        found
            .to_string()
            .contains("objective.balance is given twice")
    );
}

#[test]
fn a_rule_that_does_not_go_with_the_terms_is_refused() {
    for (text, start) in [
        (
            "balance = \"gradient_norm\"\n[kd]",
            "objective.balance = gradient_norm: compares gradients with that of a term `cross_entropy`",
        ),
        (
            "balance = { rule = \"gradient_norm\", every = 0 }\n[cross_entropy]",
            "objective.balance.every = 0: must be",
        ),
        (
            "balance = { rule = \"gradient_norm\", smoothing = 1.0 }\n[cross_entropy]",
            "objective.balance.smoothing = 1: must be",
        ),
        (
            "balance = \"uncertainty\"\n[kd]\nweight = -1",
            "objective.kd.weight = -1: must be a number of at least 0",
        ),
        (
            "balance = \"uncertainty\"\n[far]\nterm = \"vid\"",
            "objective.balance = uncertainty: needs losses that are never negative, and that of `far` can be",
        ),
    ] {
        let message = built(text).unwrap_err().to_string();
        assert!(message.starts_with(start), "{message}");
    }
    assert_eq!(
        built("balance = \"uncertainty\"").unwrap_err(),
        Error::NoTerms
    );
    let named = ObjectiveConfig::default().with("balance", TermEntry::new(KdConfig::default()));
    let message = named
        .init(
            &Output::new(student()),
            Some(&Output::new(teacher())),
            &device(),
        )
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("objective.balance = a term: is the key of a rule"),
        "{message}"
    );
    let config = ObjectiveConfig::default()
        .with("a", TermEntry::new(CrossEntropyConfig::default()))
        .with("far", TermEntry::new(VidConfig::default()))
        .with_balance(Balance::GradientNorm(GradientNorm::default()));
    assert_eq!(config.terms.len(), 2);
}
