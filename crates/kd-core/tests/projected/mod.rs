//! What holds for a loss of one's own with parameters.

use burn::module::{Module, Param, ParamId};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::store::ModuleRecord;
use burn::tensor::{Bool, Device, Int, Tensor};
use kd_core::{Error, Objective, OwnTerm, Pair, PairTaps, Part, Step, Taps, draw};

use crate::visited::seen;
use crate::{STEP, WIDTHS, device, networks, numbers, read, targets};

/// The student's embedding, projected, meets the teacher's, beside a share of its map.
///
/// Its parameters are of ranks 1, 2 and 4, of all kinds, and a flag.
#[derive(Module, Debug)]
pub(crate) struct Projected {
    projection: Linear,
    norm: BatchNorm,
    scale: Param<Tensor<4>>,
    order: Param<Tensor<1, Int>>,
    kept: Param<Tensor<2, Bool>>,
    #[module(skip)]
    share: f64,
}

impl OwnTerm for Projected {
    fn taps(&self) -> PairTaps {
        let embeddings = PairTaps::embeddings();
        embeddings.union(PairTaps {
            student: Taps::part(Part::Maps),
            teacher: Taps::none(),
        })
    }

    fn forward(&self, pair: &Pair, _: &Step) -> Result<Tensor<1>, Error> {
        let projected = self.projection.forward(pair.student.embedding()?);
        let projected = self.norm.forward(projected);
        let teacher = pair.teacher()?.embedding()?.detach();
        let teacher = teacher.select(1, self.order.val());
        let away = (projected - teacher).mask_fill(self.kept.val().bool_not(), 0.0);
        let map = pair.student.map(0)? * self.scale.val();
        Ok(away.square().mean() + map.square().mean() * self.share)
    }
}

pub(crate) fn projected(seed: u64) -> Projected {
    draw::seed(seed);
    let device = device();
    let [narrow, wide] = WIDTHS;
    let mut projection = LinearConfig::new(narrow, wide).init(&device);
    projection.weight = draw::normal([narrow, wide], 0.5, &device);
    projection.bias = Some(draw::normal([wide], 0.5, &device));
    let order: Tensor<1, Int> = Tensor::arange(0..wide as i64, &device).flip([0]);
    let kept = Tensor::<2, Int>::from_ints([[1, 1, 0, 1, 1]], &device);
    Projected {
        projection,
        norm: BatchNormConfig::new(wide).init(&device),
        scale: draw::normal([1, narrow, 1, 1], 1.0, &device),
        order: Param::initialized(ParamId::new(), order),
        kept: Param::initialized(ParamId::new(), kept.bool()),
        share: 0.3,
    }
}

pub(crate) fn objective(seed: u64) -> Objective {
    read(r#"{ "cross_entropy": {} }"#)
        .with_term("projected", 1.0, projected(seed))
        .unwrap()
}

/// The total of an objective, on the networks' device or on the plain one.
fn total(objective: &Objective, plain: bool) -> Tensor<1> {
    let [mut student, mut teacher] = networks();
    let mut targets = targets();
    if plain {
        (student, teacher, targets) = (student.lower(), teacher.lower(), targets.lower());
    }
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    objective.forward(&pair, &STEP).unwrap().total
}

/// What an objective holds after so many steps of its own, and the totals on the way.
fn trained(mut objective: Objective, steps: usize) -> (Objective, Vec<f32>) {
    let mut optimizer = AdamConfig::new().init();
    let mut totals = Vec::new();
    for _ in 0..steps {
        let total = total(&objective, false);
        let gradients = GradientsParams::from_grads(total.backward(), &objective);
        // Weight, bias, scale and shift, and the scale of the map.
        assert_eq!(gradients.len(), 5);
        objective = optimizer.step(0.05, objective, gradients);
        totals.push(total.into_scalar());
    }
    (objective, totals)
}

#[test]
fn a_term_trains_in_an_objective_as_it_does_alone() {
    let (found, totals) = trained(objective(3), 30);
    assert!(totals[29] < 0.7 * totals[0], "{totals:?}");

    let mut alone = projected(3);
    let mut optimizer = AdamConfig::new().init();
    let [student, teacher] = networks();
    let targets = targets();
    for _ in 0..30 {
        let pair = Pair {
            student: &student,
            teacher: Some(&teacher),
            targets: &targets,
            indices: None,
        };
        let loss = alone.forward(&pair, &STEP).unwrap();
        let gradients = GradientsParams::from_grads(loss.backward(), &alone);
        alone = optimizer.step(0.05, alone, gradients);
    }
    // Running statistics too: `valid` brings them up to date.
    let (found, expected) = (seen(&found.valid()), seen(&alone.valid()));
    let values = |seen: Vec<(String, Vec<f32>)>| -> Vec<Vec<f32>> {
        seen.into_iter().map(|(_, values)| values).collect()
    };
    let start = values(seen(&objective(3).valid()));
    let (found, expected) = (values(found), values(expected));
    assert_eq!(found, expected);
    // All have moved but the flag, the order and the mask.
    let moved: Vec<bool> = found.iter().zip(&start).map(|(a, b)| a != b).collect();
    let expected = [
        true, true, true, true, false, true, true, true, false, false,
    ];
    assert_eq!(moved, expected);
}

#[test]
fn a_term_is_evaluated_and_trained_again() {
    let (objective, _) = trained(objective(3), 3);
    let valid = objective.valid();
    assert!(valid.devices().iter().all(|device| !device.is_autodiff()));
    // In evaluation batch normalisation reads what it remembers, and remembers no more.
    let value = || numbers(total(&valid, true));
    assert_eq!(value(), value());
    assert_ne!(value(), numbers(total(&objective, false)));
    let flag = |objective: &Objective| {
        let all = seen(objective).into_iter();
        let mut flags = all.filter(|(what, _)| what.ends_with("flag"));
        flags.next().unwrap().1
    };
    assert_eq!((flag(&objective), flag(&valid)), (vec![1.0], vec![0.0]));

    let again = valid.clone().train();
    assert!(again.devices().iter().all(Device::is_autodiff));
    assert_eq!(flag(&again), [1.0]);
    assert_eq!(
        numbers(total(&again, false)),
        numbers(total(&objective, false))
    );
    trained(again, 1);

    let moved = objective.clone().to_device(&device());
    assert_eq!(seen(&moved), seen(&objective));
    let forked = objective.clone().fork(&device());
    assert_eq!(seen(&forked), seen(&objective));
    trained(forked, 1);
    let materialized = objective.clone().materialize();
    assert_eq!(seen(&materialized), seen(&objective));
}

#[test]
fn a_terms_record_brings_back_what_it_learned() {
    let (before, _) = trained(objective(3), 3);
    let saved = before.valid().into_record().into_bytes().unwrap();
    let other = objective(99);
    let scale = |objective: &Objective| seen(&objective.valid())[7].clone();
    assert_ne!(scale(&other), scale(&before));
    let record = ModuleRecord::from_bytes(saved).unwrap();
    let loaded = other.load_record(record);
    assert_eq!(seen(&loaded.valid()), seen(&before.valid()));
    // And it goes on from there.
    let (before, expected) = trained(before, 2);
    let (loaded, found) = trained(loaded, 2);
    assert_eq!(found, expected);
    assert_eq!(seen(&loaded.valid()), seen(&before.valid()));
}

#[test]
fn a_clone_keeps_its_values_when_the_original_trains_on() {
    let (original, _) = trained(objective(3), 2);
    let copy = original.clone();
    assert_eq!(seen(&copy), seen(&original));
    let before = seen(&copy);
    let (original, _) = trained(original, 1);
    let after = seen(&copy);
    assert_ne!(seen(&original)[0], before[0]);
    // burn's clones share running statistics.
    for (before, after) in before.iter().zip(&after) {
        if !before.0.contains("running") {
            assert_eq!(before, after);
        }
    }
    assert!(format!("{copy:?}").contains("Projected"));
    assert!(copy.to_string().contains("Objective"));
}

#[test]
fn a_rule_of_the_weights_counts_a_loss_of_ones_own() {
    let mean = |pair: &Pair, _: &Step| Ok(pair.student.logits.clone().square().mean());
    let learned = read(r#"{ "balance": "uncertainty", "cross_entropy": {} }"#)
        .with_function("mean", 0.25, PairTaps::default(), mean)
        .and_then(|objective| objective.with_term("projected", 3.0, projected(1)))
        .unwrap();
    // A log variance a term.
    assert_eq!(learned.num_params(), 3 + projected(1).num_params());
    let mut optimizer = AdamConfig::new().init();
    let gradients = GradientsParams::from_grads(total(&learned, false).backward(), &learned);
    let learned = optimizer.step(0.1, learned, gradients);
    let [student, teacher] = networks();
    let targets = targets();
    let pair = Pair {
        student: &student,
        teacher: Some(&teacher),
        targets: &targets,
        indices: None,
    };
    let found = learned.forward(&pair, &STEP).unwrap().components;
    for (component, before) in found.iter().zip([1.0, 0.25, 3.0]) {
        assert!(component.weight > 0.0 && component.weight != before);
    }

    let text = r#"{ "balance": "gradient_norm", "cross_entropy": {} }"#;
    let measured = read(text)
        .with_function("mean", 0.25, PairTaps::default(), mean)
        .unwrap();
    assert_eq!(measured.to_measure(&STEP), ["cross_entropy", "mean"]);
    let alone = measured.component("mean", &pair, &STEP).unwrap();
    let expected: f32 = student.logits.square().mean().into_scalar();
    assert_eq!(alone.into_scalar::<f32>(), expected);
}
