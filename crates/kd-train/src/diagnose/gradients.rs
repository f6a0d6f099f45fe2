//! Whether the components of a loss pull a student in one direction.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use kd_core::{ObjectiveConfig, Pair, Step, Taps};
use kd_data::Loader;
use kd_diagnose::Cosines;
use kd_models::{Backbone, Input, Network};

use crate::gradients::trainable_parameters;
use crate::task::{ImageClassification, TaskSpec};
use crate::{Error, Source};

/// Batches over which cosines are averaged.
const BATCHES: usize = 4;

/// Mean cosines between the gradients of components on a trained student. Components that train adapters are left out: theirs are
/// gone with the training.
pub(super) fn cosines(
    (teacher, student): (&Network, &Network),
    (task, config): (&ImageClassification<Network>, &ObjectiveConfig),
    train: &Loader,
    at: &Step,
    device: &Device,
) -> Result<Option<Cosines>, Error> {
    let example = task.example(2, device);
    let dry = [student, teacher].map(|network| network.forward(example.clone(), &Taps::all()));
    let autodiff = device.clone().autodiff();
    let objective = task.objective(config, &dry[0], Some(&dry[1]), &autodiff)?;
    let bare = |name: &&str| {
        objective
            .term(name)
            .is_some_and(|t| trainable_parameters(t) == 0)
    };
    let weighted: Vec<&str> = objective
        .weights_at(at)
        .filter(|(_, weight)| *weight > 0.0)
        .map(|(name, _)| name)
        .collect();
    let names: Vec<String> = weighted
        .into_iter()
        .filter(bare)
        .map(String::from)
        .collect();
    if names.len() < 2 {
        return Ok(None);
    }
    let taps = objective.taps();
    let mut sums = vec![vec![0.0; names.len()]; names.len()];
    let mut batches = 0;
    let student = student.clone().train();
    for batch in Source::epoch(train, 0, device).take(BATCHES) {
        let shown = teacher.forward(batch.input.clone(), &taps.teacher).lift();
        let targets = batch.targets.lift();
        let input = batch.input.lift();
        let places: Vec<usize> = (0..batch.indices.len()).collect();
        let mut gradients = Vec::new();
        for name in &names {
            let student = student.valid().train();
            let output = student.forward(input.clone(), &taps.student);
            let pair = Pair {
                student: &output,
                teacher: Some(&shown),
                targets: &targets,
                indices: Some(&places),
            };
            let found = objective.component(name, &pair, at)?.backward();
            let found = GradientsParams::from_grads(found, &student);
            gradients.push(flat(&student, &found));
        }
        for (row, one) in sums.iter_mut().zip(&gradients) {
            for (sum, other) in row.iter_mut().zip(&gradients) {
                *sum += cosine(one, other);
            }
        }
        batches += 1;
    }
    let mean = |row: Vec<f64>| {
        row.into_iter()
            .map(|sum| sum / f64::from(batches.max(1)))
            .collect()
    };
    Ok(Some(Cosines {
        names,
        values: sums.into_iter().map(mean).collect(),
    }))
}

/// All gradients of a module in one row.
struct Flat<'a> {
    gradients: &'a GradientsParams,
    row: Vec<f32>,
}

impl ModuleVisitor for Flat<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let values = match self.gradients.get::<D>(param.id) {
            Some(gradient) => gradient.into_data().iter::<f32>().collect(),
            None => vec![0.0; param.val().shape().num_elements()],
        };
        self.row.extend(values);
    }
}

fn flat<M: Module>(module: &M, gradients: &GradientsParams) -> Vec<f32> {
    let mut visitor = Flat {
        gradients,
        row: Vec::new(),
    };
    module.visit(&mut visitor);
    visitor.row
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let product = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let norms = (product(a, a) * product(b, b)).sqrt();
    match norms > 0.0 {
        true => product(a, b) / norms,
        false => 0.0,
    }
}
