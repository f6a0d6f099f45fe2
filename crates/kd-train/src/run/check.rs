//! What is wrong with a run is found before hours are spent on its first training.

use std::collections::BTreeMap;

use burn::module::Module;
use kd_core::Output;
use kd_models::Network;

use super::Job;
use crate::recipe::{PlannedTraining, TEACHER};
use crate::{Arm, Error, Observer, cache};

/// What networks show in a dry run, by their names in the registry: untrained ones have the same shapes.
type Shown = BTreeMap<String, Output>;

impl Job<'_> {
    /// Builds every network and objective once, asks the cache whether it can serve all that it will be
    /// asked for, and says what is to be expected of it.
    ///
    /// # Errors
    /// What the first wrong training would fail with, with the name of its stage.
    pub(super) fn check(&self, seeds: usize, observer: &mut dyn Observer) -> Result<(), Error> {
        let recipe = self.recipe;
        for stage in recipe.stages.values().chain([&recipe.student]) {
            if let Some(path) = &stage.weights {
                Network::from_file(&self.network(&stage.model), path, self.device)?;
            }
        }
        let mut shown = Shown::new();
        let teacher = recipe.model_of(TEACHER);
        let teacher = teacher.map(|model| self.show(model, &mut shown));
        let teacher = teacher.transpose()?;
        let trainings = recipe.trainings();
        let learning = trainings.iter().filter(|training| !training.alone);
        for training in learning {
            self.check_training(training, &mut shown)
                .map_err(|problem| match &training.arm {
                    Arm::Stage(name) => Error::Recipe(format!("stages.{name}: {problem}")),
                    _ => problem,
                })?;
        }
        match teacher {
            Some(teacher) => self.forecast_cache(seeds, &teacher, observer),
            None => Ok(()),
        }
    }

    fn check_training(&self, training: &PlannedTraining, shown: &mut Shown) -> Result<(), Error> {
        let stage = training.stage;
        let seen = training
            .models()
            .map(|model| self.show(model, shown))
            .collect::<Result<Vec<_>, _>>()?;
        let teachers = training
            .teachers
            .iter()
            .filter_map(|name| self.recipe.model_of(name))
            .map(|model| self.show(model, shown))
            .collect::<Result<Vec<_>, _>>()?;
        let objective = self.recipe.objective_of(stage);
        let objective = objective.with_samples(self.splits.train.len());
        let autodiff = self.device.clone().autodiff();
        for (number, student) in seen.iter().enumerate() {
            let lessons = (&stage.combine, stage.mutual);
            let teacher = self.shown_to(number, lessons, &seen, &teachers)?;
            let objective = objective.init(student, teacher.as_ref(), &autodiff)?;
            if stage.mutual && objective.head().is_some() {
                return Err(Error::Recipe(
                    "mutual = true: the objective has a term that takes over the classifier of a \
                     finished teacher (simkd), and those who learn from each other are not finished; \
                     leave one of the two out"
                        .into(),
                ));
            }
            if let Some(config) = self.cache_config().filter(|_| training.cached) {
                cache::check(&objective, config.embedding)?;
            }
        }
        Ok(())
    }

    fn show(&self, model: &str, shown: &mut Shown) -> Result<Output, Error> {
        if let Some(output) = shown.get(model) {
            return Ok(output.clone());
        }
        let network = Network::new(&self.network(model), self.device)?;
        let output = self.dry_run(&network.valid());
        shown.insert(model.into(), output.clone());
        Ok(output)
    }
}
