//! Measuring the networks of a run on the test split.

use kd_data::Loader;

use super::{Contender, Job};
use crate::evaluate::{Predictions, predict};
use crate::measure::{latency, throughput};
use crate::records::Arm;
use crate::summary::{ArmSummary, Gain};
use crate::{Error, Event, Observer};

/// A measured network with its predictions.
pub(super) struct Measured {
    pub(super) summary: ArmSummary,
    pub(super) predictions: Predictions,
}

pub(super) fn measure(
    contender: &Contender,
    job: &Job,
    test: &Loader,
    teacher: Option<&Measured>,
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    let (arm, seed) = (contender.arm, contender.seed);
    observer.event(Event::Measuring { arm, seed });
    let images = &job.dataset.test;
    let shape = [images.channels, images.height, images.width];
    let network = &contender.network;
    let predictions = predict(network, test, job.device);
    let cost = network.cost(images.height)?;
    let summary = ArmSummary {
        arm,
        seed,
        model: network.config().model.clone(),
        parameters: cost.parameters,
        macs: cost.macs,
        bytes: cost.bytes,
        adapter_parameters: contender.adapter_parameters,
        test: predictions.accuracy(),
        agreement: teacher.map(|t| predictions.agreement(&t.predictions)),
        latency: latency(network, shape, job.device),
        images_per_second: throughput(network, job.recipe.train.batch, shape, job.device),
        training: contender.training.clone(),
    };
    observer.event(Event::Measured(&summary));
    Ok(Measured {
        summary,
        predictions,
    })
}

/// Distilled minus alone for every seed that has both.
pub(super) fn summarise_gain(students: &[Measured]) -> Option<Gain> {
    let of = |arm: Arm| {
        students
            .iter()
            .map(|m| &m.summary)
            .filter(move |s| s.arm == arm)
    };
    let per_seed: Vec<f64> = of(Arm::Distilled)
        .filter_map(|d| {
            let alone = of(Arm::Alone).find(|a| a.seed == d.seed)?;
            Some(d.test.top1 - alone.test.top1)
        })
        .collect();
    let count = per_seed.len() as f64;
    let mean = per_seed.iter().sum::<f64>() / count;
    let squares: f64 = per_seed.iter().map(|g| (g - mean).powi(2)).sum();
    (!per_seed.is_empty()).then(|| Gain {
        mean,
        std: (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()),
        per_seed,
    })
}
