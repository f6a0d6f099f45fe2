//! What is wrong with a recipe is found before hours are spent on its first training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Combine, Objective, ObjectiveConfig, Output, Taps, TermConfig};
use kd_data::{Dataset, Splits};
use kd_models::{Backbone, Network, NetworkConfig};

use crate::recipe::{PlannedTraining, STUDENT, TEACHER};
use crate::{Arm, Error, Recipe, cache};

/// What networks and objectives must know of the data.
#[derive(Clone, Debug)]
pub struct DataShape {
    /// Number of classes.
    pub classes: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Height of an image in pixels.
    pub height: usize,
    /// Width of an image in pixels.
    pub width: usize,
    /// Images of the training split.
    pub train: usize,
}

impl DataShape {
    /// What is known of a recipe's data before they are read; none for images of the user's own.
    pub fn known(recipe: &Recipe) -> Option<Self> {
        let data = &recipe.data;
        let (channels, size, classes, available) = match data.name.as_str() {
            "cifar10" => (3, 32, 10, 50_000_usize),
            "cifar100" => (3, 32, 100, 50_000),
            "mnist" | "fashion_mnist" => (1, 28, 10, 60_000),
            "fashion_mnist_small" => (1, 28, 10, 10_000),
            _ => return None,
        };
        let train = match data.train_limit {
            Some(limit) => limit.min(available),
            None => available.saturating_sub((available as f64 * data.validation).round() as usize),
        };
        Some(Self {
            classes,
            channels,
            height: size,
            width: size,
            train,
        })
    }

    pub(crate) fn new(dataset: &Dataset, splits: &Splits) -> Self {
        Self {
            classes: dataset.classes.len(),
            channels: dataset.train.channels,
            height: dataset.train.height,
            width: dataset.train.width,
            train: splits.train.len(),
        }
    }

    /// A network of the registry for these data.
    pub(crate) fn network(&self, model: &str) -> NetworkConfig {
        NetworkConfig::new(model, self.classes, self.channels)
    }

    /// What a network on the plain `device` shows of two black images; shapes are read from it.
    pub(crate) fn dry_run(&self, network: &Network, device: &Device) -> Output {
        let shape = [2, self.channels, self.height, self.width];
        network.forward(Tensor::zeros(shape, device), &Taps::all())
    }
}

/// Builds every network and objective of a recipe once, without its data, and asks whether the
/// teacher's cache can serve all that it will be asked for.
///
/// # Errors
/// What the first wrong training would fail with, with the name of its stage.
pub fn check(recipe: &Recipe, data: &DataShape, device: &Device) -> Result<(), Error> {
    let mut check = Check {
        recipe,
        data,
        device,
        shown: BTreeMap::new(),
    };
    let stages = recipe.stages.iter();
    let stages = stages.map(|(name, stage)| (format!("stages.{name}"), stage));
    let stages = stages.chain([(STUDENT.into(), &recipe.student)]);
    let stages = stages.map(|(name, stage)| (name, &stage.model, &stage.weights));
    let teacher = recipe.teacher.iter();
    let teacher = teacher.map(|t| (TEACHER.into(), &t.model, &t.weights));
    for (name, model, weights) in stages.chain(teacher) {
        check
            .show(model)
            .map_err(|problem| Error::Recipe(format!("{name}.model: {problem}")))?;
        if let Some(path) = weights {
            Network::from_file(&data.network(model), path, device)
                .map_err(|problem| Error::Recipe(format!("{name}.weights: {problem}")))?;
        }
    }
    for training in recipe.trainings().iter().filter(|t| !t.alone) {
        check
            .training(training)
            .map_err(|problem| match &training.arm {
                Arm::Stage(name) => Error::Recipe(format!("stages.{name}: {problem}")),
                _ => problem,
            })?;
    }
    Ok(())
}

struct Check<'a> {
    recipe: &'a Recipe,
    data: &'a DataShape,
    device: &'a Device,
    /// What networks show, by their names in the registry: untrained ones have the same shapes.
    shown: BTreeMap<String, Output>,
}

impl Check<'_> {
    fn training(&mut self, training: &PlannedTraining) -> Result<(), Error> {
        let recipe = self.recipe;
        let stage = training.stage;
        let mut show_all = |models: Vec<&str>| -> Result<Vec<Output>, Error> {
            models.into_iter().map(|model| self.show(model)).collect()
        };
        let pupils = Shown {
            students: show_all(training.models().collect())?,
            teachers: show_all(
                training
                    .teachers
                    .iter()
                    .filter_map(|name| recipe.model_of(name))
                    .collect(),
            )?,
        };
        let objective = recipe.objective_of(stage).with_samples(self.data.train);
        for (name, entry) in &objective.terms {
            if let TermConfig::Crd(crd) = &entry.term
                && crd.samples < self.data.train
            {
                return Err(Error::Recipe(format!(
                    "objective.{name}.samples = {}: the training split has {} images; leave the key out",
                    crd.samples, self.data.train
                )));
            }
        }
        let objectives =
            pupils.objectives(&objective, &stage.combine, stage.mutual, self.device)?;
        for objective in &objectives {
            if stage.mutual && objective.head().is_some() {
                return Err(Error::Recipe(
                    "mutual = true: the objective has a term that takes over the classifier of a \
                     finished teacher (simkd), and those who learn from each other are not finished; \
                     leave one of the two out"
                        .into(),
                ));
            }
            let cache = recipe.teacher.as_ref().and_then(|t| t.cache.as_ref());
            if let Some(config) = cache.filter(|_| training.cached) {
                cache::check(objective, config.embedding)?;
            }
        }
        Ok(())
    }

    fn show(&mut self, model: &str) -> Result<Output, Error> {
        if let Some(output) = self.shown.get(model) {
            return Ok(output.clone());
        }
        let network = Network::new(&self.data.network(model), self.device)?;
        let output = self.data.dry_run(&network.valid(), self.device);
        self.shown.insert(model.into(), output.clone());
        Ok(output)
    }
}

/// What those who train together, and those who teach them, show in a dry run.
pub(crate) struct Shown {
    pub students: Vec<Output>,
    pub teachers: Vec<Output>,
}

impl Shown {
    /// The objective of each student. One that learns with others from each other has these as
    /// teachers too.
    pub(crate) fn objectives(
        &self,
        config: &ObjectiveConfig,
        combine: &Combine,
        mutual: bool,
        device: &Device,
    ) -> Result<Vec<Objective>, Error> {
        let autodiff = device.clone().autodiff();
        let students = self.students.iter().enumerate();
        students
            .map(|(number, student)| {
                let mut teachers = self.teachers.clone();
                if mutual {
                    let peers = self.students.iter().enumerate();
                    let others = peers.filter(|(other, _)| *other != number);
                    teachers.extend(others.map(|(_, output)| output.clone()));
                }
                let several = teachers.len() > 1;
                let teacher = match teachers.is_empty() {
                    true => None,
                    false => {
                        let labels = Tensor::from_ints([0, 0], device);
                        Some(combine.apply(teachers, &labels)?)
                    }
                };
                let objective = config.init(student, teacher.as_ref(), &autodiff);
                objective.map_err(|problem| match several {
                    false => problem.into(),
                    true => Error::Recipe(format!(
                        "{problem}. (There are several teachers, of which only the logits are combined: \
                         terms that compare anything else need a single one, except `camkd`.)"
                    )),
                })
            })
            .collect()
    }
}
