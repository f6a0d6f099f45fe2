//! What is wrong with a recipe is found before hours are spent on its first training.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use kd_core::{Combine, Objective, ObjectiveConfig, Output, Step, Taps};
use kd_models::Backbone;

use crate::recipe::{STUDENT, TEACHER, TrainingPlan, Work};
use crate::task::TaskSpec;
use crate::{Error, Recipe, Role, StageSpec, cache, weights};

/// What a network on the plain `device` shows of two samples; shapes are read from it.
pub(crate) fn dry_run<T: TaskSpec>(task: &T, network: &T::Network, device: &Device) -> Output {
    network.forward(task.example(2, device), &Taps::all())
}

/// Whether the registry has every network of a recipe: known before any image is read, also where nothing
/// else is.
///
/// # Errors
/// [`Error::Recipe`] with the key and the nearest name.
pub(crate) fn names(recipe: &Recipe) -> Result<(), Error> {
    for (key, model) in networks(recipe) {
        kd_models::find(model).map_err(|problem| Error::Recipe(format!("{key}: {problem}")))?;
    }
    Ok(())
}

/// The networks that a recipe names, each with its key.
pub(crate) fn networks(recipe: &Recipe) -> Vec<(String, &str)> {
    let of_stages = recipe.tables().flat_map(|(table, stage)| {
        let peers = stage.peers.iter();
        let peers = peers.map(|peer| (format!("{table}.peers"), peer));
        let own = (format!("{table}.model"), &stage.model);
        peers.chain([own]).collect::<Vec<_>>()
    });
    let teacher = recipe.teacher.iter();
    let teacher = teacher.map(|t| (format!("{TEACHER}.model"), &t.model));
    let all = of_stages.chain(teacher);
    all.map(|(key, model)| (key, model.as_str())).collect()
}

/// Builds every network and objective of a recipe once, without its data, and asks whether the
/// teacher's cache can serve all that it will be asked for.
///
/// # Errors
/// What the first wrong training would fail with, with the name of its stage.
pub fn check<T: TaskSpec>(recipe: &Recipe, task: &T, device: &Device) -> Result<(), Error> {
    recipe.validate().map_err(Error::Recipe)?;
    let mut check = Check {
        recipe,
        task,
        device,
        shown: BTreeMap::new(),
        teacher: None,
    };
    let wrong_model =
        |name: &str, problem: Error| Error::Recipe(format!("{name}.model: {problem}"));
    let wrong_weights =
        |name: &str, problem: Error| Error::Recipe(format!("{name}.weights: {problem}"));
    for (name, stage) in recipe.tables() {
        check
            .show(&stage.model)
            .map_err(|e| wrong_model(&name, e))?;
        if let (Some(from), Some(teacher)) = (&stage.init_from, &recipe.teacher) {
            let own = task.build(&stage.model, device)?;
            let whole = task.build_teacher(teacher, device)?;
            let filled = task.with_layers_of(own, &whole, &from.layers);
            filled.map_err(|e| Error::Recipe(format!("{name}.init_from: {e}")))?;
        }
        let changes = [stage.prune.is_some(), stage.quantise.is_some()];
        if changes.contains(&true) || stage.work == Work::Export {
            let made = made(recipe, task, stage, device);
            let made = made.map_err(|e| Error::Recipe(format!("{name}: {e}")))?;
            if stage.work == Work::Export {
                let config = stage.export.clone().unwrap_or_default();
                let written = task.onnx(&made.valid(), &config).and_then(|onnx| {
                    let accepted = config.check.map(|program| program.accepts(&onnx));
                    accepted.unwrap_or(Ok(())).map_err(Error::Recipe)
                });
                written.map_err(|e| Error::Recipe(format!("{name}: {e}")))?;
            }
        }
        if let Some(path) = &stage.weights {
            let file = (path.as_path(), stage.weights_prefix.as_deref());
            weights::load(task, &stage.model, file, &stage.classifier(), device)
                .map_err(|e| wrong_weights(&name, e))?;
        }
    }
    if let Some(teacher) = &recipe.teacher {
        check.show_teacher().map_err(|e| wrong_model(TEACHER, e))?;
        if let Some(path) = &teacher.weights {
            weights::local(path)
                .and_then(|path| task.load_teacher(teacher, &path, device))
                .map_err(|e| wrong_weights(TEACHER, e))?;
        }
    }
    check.groups()?;
    let plans = recipe.plans();
    for plan in plans.iter().filter(|plan| plan.work.is_train()) {
        check.training(plan).map_err(|problem| match plan.role() {
            Role::Stage(name) => Error::Recipe(format!("stages.{name}: {problem}")),
            _ => problem,
        })?;
    }
    Ok(())
}

/// The network of a stage as its start and itself change one, with drawn weights.
fn made<T: TaskSpec>(
    recipe: &Recipe,
    task: &T,
    stage: &StageSpec,
    device: &Device,
) -> Result<T::Network, Error> {
    let start = match stage.start.as_deref() {
        Some(STUDENT) => Some(&recipe.student),
        Some(name) => recipe.stages.get(name),
        None => None,
    };
    let mut network = match start {
        Some(start) => made(recipe, task, start, device)?,
        None => task.build(&stage.model, device)?,
    };
    if let Some(prune) = &stage.prune {
        network = task.pruned(network, prune)?;
    }
    match &stage.quantise {
        Some(quantise) => task.quantised(network, quantise, vec![task.example(2, device)]),
        None => Ok(network),
    }
}

struct Check<'a, T> {
    recipe: &'a Recipe,
    task: &'a T,
    device: &'a Device,
    /// What networks show, by their names in the registry: untrained ones have the same shapes.
    shown: BTreeMap<String, Output>,
    /// What a teacher shows that sees images of another size.
    teacher: Option<Output>,
}

impl<T: TaskSpec> Check<'_, T> {
    fn training(&mut self, plan: &TrainingPlan) -> Result<(), Error> {
        let recipe = self.recipe;
        let students = plan.models().map(|model| self.show(model));
        let students = students.collect::<Result<_, _>>()?;
        let mut teachers = Vec::new();
        for name in &plan.teachers {
            teachers.extend(match recipe.model_of(name) {
                Some(_) if name == TEACHER => self.show_teacher()?,
                Some(model) => Some(self.show(model)?),
                None => None,
            });
        }
        let dry_run = DryRun { students, teachers };
        let objectives = dry_run.objectives(plan, self.task, self.device)?;
        for objective in &objectives {
            learns(objective, plan.train.epochs)?;
            if plan.mutual && objective.head().is_some() {
                return Err(Error::Recipe(
                    "mutual = true: the objective has a term that takes over the classifier of a \
                     finished teacher (simkd), and those who learn from each other are not finished; \
                     leave one of the two out"
                        .into(),
                ));
            }
            let cache = recipe.teacher.as_ref().and_then(|t| t.cache.as_ref());
            if let Some(config) = cache.filter(|_| plan.cached) {
                cache::check(objective, config.embedding, &config.maps)?;
            }
        }
        Ok(())
    }

    /// Whether the networks have the parts that `[train.groups]` names. Of what is trained on the recipe's budget, every
    /// network must.
    fn groups(&self) -> Result<(), Error> {
        let recipe = self.recipe;
        let stages = recipe.stages.iter();
        let stages = stages.map(|(name, stage)| (format!("stages.{name}."), stage));
        let stages = stages.chain([(String::new(), &recipe.student)]);
        let budgets = stages.map(|(table, stage)| {
            let own = if stage.train.is_some() {
                table
            } else {
                String::new()
            };
            (own, stage.model.as_str(), recipe.train_of(stage))
        });
        let teacher = recipe
            .teacher
            .iter()
            .filter(|teacher| teacher.weights.is_none());
        let teacher = teacher.map(|teacher| match &teacher.train {
            Some(train) => (format!("{TEACHER}."), teacher.model.as_str(), train),
            None => (String::new(), teacher.model.as_str(), &recipe.train),
        });
        for (table, model, train) in budgets.chain(teacher) {
            if train.groups.is_default() {
                continue;
            }
            let network = self.task.build(model, self.device)?;
            let suits = train.groups.suits(&network);
            suits.map_err(|problem| {
                Error::Recipe(format!("{table}train.{problem} (the network is `{model}`)"))
            })?;
        }
        Ok(())
    }

    /// What the recipe's teacher shows, which may see images of another size; none without one.
    fn show_teacher(&mut self) -> Result<Option<Output>, Error> {
        let Some(spec) = &self.recipe.teacher else {
            return Ok(None);
        };
        if spec.size.is_none() {
            return self.show(&spec.model).map(Some);
        }
        if self.teacher.is_none() {
            let network = self.task.build_teacher(spec, self.device)?;
            self.teacher = Some(dry_run(self.task, &network.valid(), self.device));
        }
        Ok(self.teacher.clone())
    }

    fn show(&mut self, model: &str) -> Result<Output, Error> {
        if let Some(output) = self.shown.get(model) {
            return Ok(output.clone());
        }
        let network = self.task.build(model, self.device)?;
        let output = dry_run(self.task, &network.valid(), self.device);
        self.shown.insert(model.into(), output.clone());
        Ok(output)
    }
}

/// Refuses an objective whose weights are 0 from the first epoch to the last. Schedules have their largest
/// value in one of the two.
fn learns(objective: &Objective, epochs: usize) -> Result<(), Error> {
    let counts = |epoch| {
        let at = Step {
            epoch,
            epochs,
            index: 0,
        };
        objective.weights_at(&at).any(|(_, weight)| weight > 0.0)
    };
    if counts(1) || counts(epochs) {
        return Ok(());
    }
    Err(Error::Recipe(
        "every weight of [objective] is 0, so nothing would be learned: give a term a weight above 0".into(),
    ))
}

/// What those who train together, and those who teach them, show of two samples.
pub(crate) struct DryRun {
    pub students: Vec<Output>,
    pub teachers: Vec<Output>,
}

impl DryRun {
    /// The objective of each student of a plan. One that learns with others from each other has these as
    /// teachers too.
    pub(crate) fn objectives<T: TaskSpec>(
        &self,
        plan: &TrainingPlan,
        task: &T,
        device: &Device,
    ) -> Result<Vec<Objective>, Error> {
        let config = plan.objective.clone().with_samples(task.train_samples())?;
        (0..self.students.len())
            .map(|number| self.objective(number, &config, plan, task, device))
            .collect()
    }

    fn objective<T: TaskSpec>(
        &self,
        number: usize,
        config: &ObjectiveConfig,
        plan: &TrainingPlan,
        task: &T,
        device: &Device,
    ) -> Result<Objective, Error> {
        let mut teachers = self.teachers.clone();
        if plan.mutual {
            let peers = self.students.iter().enumerate();
            let others = peers.filter(|(other, _)| *other != number);
            teachers.extend(others.map(|(_, output)| output.clone()));
        }
        let several = teachers.len() > 1;
        let teacher = if teachers.is_empty() {
            None
        } else {
            Some(combined(&plan.combine, teachers, device)?)
        };
        let autodiff = device.clone().autodiff();
        let student = &self.students[number];
        let objective = task.objective(config, student, teacher.as_ref(), &autodiff);
        objective.map_err(|problem| {
            if several {
                Error::Recipe(format!(
                    "{problem}. (There are several teachers, of which only the logits are combined: \
                     terms that compare anything else need a single one, except `camkd`.)"
                ))
            } else {
                problem.into()
            }
        })
    }
}

/// Teachers as one, of whatever labels.
fn combined(combine: &Combine, teachers: Vec<Output>, device: &Device) -> Result<Output, Error> {
    let [rows, _] = teachers[0].logits.dims();
    let labels = Tensor::zeros([rows], device);
    Ok(combine.apply(teachers, &labels)?)
}
