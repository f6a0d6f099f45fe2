//! Measuring the networks of a run on the test split.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use kd_core::{Combine, CombineRule, Output, Taps};
use kd_data::Loader;
use kd_models::{Backbone, Network};

use super::Job;
use super::training::Contender;
use crate::evaluate::{Predictions, predict};
use crate::measure::{latency, throughput};
use crate::summary::{ArmSummary, Gain};
use crate::{Arm, Error, Event, Observer};

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
    let (arm, seed) = (&contender.arm, contender.seed);
    observer.event(Event::Measuring { arm, seed });
    let images = &job.dataset.test;
    let shape = [images.channels, images.height, images.width];
    let network = &contender.network;
    let predictions = predict(network, test, job.device);
    let cost = network.cost(images.height)?;
    let summary = ArmSummary {
        arm: arm.clone(),
        seed,
        model: network.config().model.clone(),
        parameters: cost.parameters,
        macs: cost.macs,
        bytes: cost.bytes,
        adapter_parameters: contender.adapter_parameters,
        learned_from: contender.learned_from.clone(),
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

/// Networks that answer together: with the mean of their probabilities.
#[derive(Module, Debug)]
struct Ensemble {
    members: Vec<Network>,
}

impl Backbone for Ensemble {
    type Input = Tensor<4>;

    fn forward(&self, input: Tensor<4>, _: &Taps) -> Output {
        let members = self.members.iter();
        let outputs: Vec<_> = members
            .map(|member| member.forward(input.clone(), &Taps::none()))
            .collect();
        let combine = Combine {
            rule: CombineRule::Average,
            temperature: 1.0,
        };
        // An average reads no labels.
        let labels = Tensor::<1, Int>::zeros([input.dims()[0]], &input.device());
        let logits = outputs[0].logits.clone();
        combine
            .apply(outputs, &labels)
            .unwrap_or_else(|_| Output::new(logits))
    }
}

/// Measures the members of one seed together.
pub(super) fn measure_ensemble(
    members: &[&Contender],
    job: &Job,
    test: &Loader,
    teacher: Option<&Measured>,
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    let (arm, seed) = (&Arm::Ensemble, members.first().and_then(|m| m.seed));
    observer.event(Event::Measuring { arm, seed });
    let images = &job.dataset.test;
    let shape = [images.channels, images.height, images.width];
    let ensemble = Ensemble {
        members: members.iter().map(|m| m.network.clone()).collect(),
    };
    let predictions = predict(&ensemble, test, job.device);
    let costs = members
        .iter()
        .map(|m| m.network.cost(images.height))
        .collect::<Result<Vec<_>, _>>()?;
    let models: Vec<_> = members
        .iter()
        .map(|m| m.network.config().model.as_str())
        .collect();
    let summary = ArmSummary {
        arm: arm.clone(),
        seed,
        model: models.join(" + "),
        parameters: costs.iter().map(|c| c.parameters).sum(),
        macs: costs.iter().map(|c| c.macs).sum(),
        bytes: costs.iter().map(|c| c.bytes).sum(),
        adapter_parameters: 0,
        learned_from: Vec::new(),
        test: predictions.accuracy(),
        agreement: teacher.map(|t| predictions.agreement(&t.predictions)),
        latency: latency(&ensemble, shape, job.device),
        images_per_second: throughput(&ensemble, job.recipe.train.batch, shape, job.device),
        training: None,
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
