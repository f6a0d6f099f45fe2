//! Measuring the networks of a run on the test split.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::Tensor;
use kd_core::{Combine, CombineRule, Output, Taps};
use kd_models::{Backbone, Input};

use super::RunContext;
use super::trained::TrainedNetwork;
use crate::evaluate::{Predictions, predict};
use crate::measure::{latency, throughput};
use crate::recipe::TEACHER;
use crate::source::with_all_of;
use crate::summary::{ChangedNetwork, Gain, MadeOf, NetworkSummary};
use crate::task::{Evaluated, NetworkCost, Task};
use crate::{Error, Event, Observer, Role, Source};

/// A measured network with its predictions.
pub(super) struct Measured {
    pub(super) summary: NetworkSummary,
    pub(super) predictions: Option<Predictions>,
}

/// The share of rows where a network predicts the teacher's class.
fn agreement(own: Option<&Predictions>, teacher: Option<&Measured>) -> Option<f64> {
    Some(own?.agreement(teacher?.predictions.as_ref()?))
}

/// The network that another began with, and how often they agree.
fn made_of(
    trained_from: Option<&String>,
    seed: Option<u64>,
    own: Option<&Predictions>,
    teacher: Option<&Measured>,
    earlier: &[Measured],
) -> Option<MadeOf> {
    let name = trained_from?;
    let role = match name.as_str() {
        TEACHER => Role::Teacher,
        name => Role::Stage(name.into()),
    };
    let of_seed = |m: &&Measured| m.summary.role == role && m.summary.seed == seed;
    let other = match role {
        Role::Teacher => teacher,
        _ => earlier.iter().find(of_seed),
    };
    Some(MadeOf {
        role: other?.summary.role.clone(),
        agreement: agreement(own, other),
    })
}

/// Measures a network on the test split, but for what is `known` of it there. `earlier` are the networks of its seed that
/// were measured before.
pub(super) fn measure<T: Task>(
    trained: &TrainedNetwork<T::Network>,
    known: Option<&Evaluated>,
    context: &RunContext<T>,
    test: &dyn Source<Input = T::Input>,
    teacher: Option<&Measured>,
    earlier: &[Measured],
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    let (role, seed) = (&trained.role, trained.seed);
    observer.event(Event::Measuring { role, seed });
    let RunContext {
        recipe,
        task,
        device,
        ..
    } = context;
    let network = &trained.network;
    let evaluated = match known {
        Some(known) => known.clone(),
        None => with_all_of(test, task.evaluate(network, test, device))?,
    };
    let changed = trained.origin.changed.iter().map(|(change, network)| {
        let test = with_all_of(test, task.evaluate(network, test, device).scores)?;
        Ok(ChangedNetwork {
            change: *change,
            test,
        })
    });
    let changed = changed.collect::<Result<_, Error>>()?;
    let own = evaluated.predictions.as_ref();
    let began = trained.origin.made_of.as_ref();
    let began = began.filter(|_| recipe.compresses());
    let cost = task.cost(network)?;
    let (onnx, activations) = context.as_onnx(trained);
    let summary = NetworkSummary {
        role: role.clone(),
        seed,
        model: task.name(network, &trained.model),
        parameters: cost.parameters,
        macs: cost.macs,
        bytes: cost.bytes,
        adapter_parameters: trained.adapter_parameters,
        learned_from: trained.learned_from.clone(),
        agreement: agreement(own, teacher),
        made_of: made_of(began, seed, own, teacher, earlier),
        changed,
        onnx,
        activations,
        validation: trained.validation.clone(),
        test: evaluated.scores,
        latency: latency(network, &task.example(1, device)),
        images_per_second: throughput(network, &task.example(recipe.train.batch, device)),
        training: trained.training.clone(),
    };
    observer.event(Event::Measured(&summary));
    Ok(Measured {
        summary,
        predictions: evaluated.predictions,
    })
}

/// Networks that answer together: with the mean of their probabilities.
#[derive(Module, Debug)]
struct Ensemble<N: Module + ModuleDisplay> {
    members: Vec<N>,
}

impl<N: Backbone> Backbone for Ensemble<N> {
    type Input = N::Input;

    fn forward(&self, input: N::Input, _: &Taps) -> Output {
        let members = self.members.iter();
        let outputs: Vec<_> = members
            .map(|member| member.forward(input.clone(), &Taps::none()))
            .collect();
        let combine = Combine {
            rule: CombineRule::Average,
            temperature: 1.0,
        };
        let (logits, counted) = (outputs[0].logits.clone(), outputs[0].counted.clone());
        // An average reads no labels.
        let labels = Tensor::zeros([logits.dims()[0]], &input.device());
        let mut output = combine
            .apply(outputs, &labels)
            .unwrap_or_else(|_| Output::new(logits));
        output.counted = counted;
        output
    }
}

/// Measures the members of one seed together.
pub(super) fn measure_ensemble<T: Task>(
    members: &[&TrainedNetwork<T::Network>],
    context: &RunContext<T>,
    test: &dyn Source<Input = T::Input>,
    teacher: Option<&Measured>,
    observer: &mut dyn Observer,
) -> Result<Measured, Error> {
    let (role, seed) = (&Role::Ensemble, members.first().and_then(|m| m.seed));
    observer.event(Event::Measuring { role, seed });
    let RunContext {
        recipe,
        task,
        device,
        ..
    } = context;
    let ensemble = Ensemble {
        members: members.iter().map(|m| m.network.clone()).collect(),
    };
    let predictions = with_all_of(test, predict(&ensemble, test, device))?;
    let costs = members
        .iter()
        .map(|m| task.cost(&m.network))
        .collect::<Result<Vec<NetworkCost>, _>>()?;
    let models: Vec<_> = members
        .iter()
        .map(|m| task.name(&m.network, &m.model))
        .collect();
    let summary = NetworkSummary {
        role: role.clone(),
        seed,
        model: models.join(" + "),
        parameters: costs.iter().map(|c| c.parameters).sum(),
        macs: costs.iter().map(|c| c.macs).sum(),
        bytes: costs.iter().map(|c| c.bytes).sum(),
        adapter_parameters: 0,
        learned_from: Vec::new(),
        validation: None,
        test: predictions.scores(),
        agreement: agreement(Some(&predictions), teacher),
        latency: latency(&ensemble, &task.example(1, device)),
        images_per_second: throughput(&ensemble, &task.example(recipe.train.batch, device)),
        training: None,
        made_of: None,
        changed: Vec::new(),
        onnx: None,
        activations: None,
    };
    observer.event(Event::Measured(&summary));
    Ok(Measured {
        summary,
        predictions: Some(predictions),
    })
}

/// How much better the distilled student is than the baseline, for every seed that has both.
pub(super) fn summarise_gain(students: &[Measured]) -> Option<Gain> {
    let of = |role: Role| {
        students
            .iter()
            .map(|m| &m.summary)
            .filter(move |s| s.role == role)
    };
    let per_seed: Vec<f64> = of(Role::Distilled)
        .filter_map(|distilled| {
            let baseline = of(Role::Baseline).find(|b| b.seed == distilled.seed)?;
            let (new, old) = (distilled.test.first()?, baseline.test.first()?);
            Some(new.better.gain(new.value, old.value))
        })
        .collect();
    let score = of(Role::Distilled).find_map(|s| s.test.first())?;
    let count = per_seed.len() as f64;
    let mean = per_seed.iter().sum::<f64>() / count;
    let squares: f64 = per_seed.iter().map(|g| (g - mean).powi(2)).sum();
    (!per_seed.is_empty()).then(|| Gain {
        score: score.title.clone(),
        unit: score.unit,
        mean,
        std: (count > 1.0).then(|| (squares / (count - 1.0)).sqrt()),
        per_seed,
    })
}
