//! The run that a diagnosis looks at.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_core::{Schedule, Step, TermConfig};
use kd_diagnose::{Sizes, TermGradient};
use kd_models::{Network, models};

use crate::report::read::{History, RunFolder, run_folder};
use crate::task::{ImageClassification, TaskSpec};
use crate::{Error, Recipe, Role, Summary};

/// The run that is looked at.
pub(super) struct Run {
    pub folder: PathBuf,
    pub recipe: Recipe,
    /// None of one that was not measured.
    summary: Option<Summary>,
    /// The student's.
    pub weights: PathBuf,
    /// Of the student's training.
    history: History,
    role: Role,
}

impl Run {
    /// A run that was measured.
    pub fn finished(folder: &Path) -> Result<Self, Error> {
        let mut found = run_folder(folder)?;
        let summary = found.summary.take().ok_or_else(|| Error::Format {
            path: folder.into(),
            problem: "the run is not finished: go on with it by `kd train --resume` first".into(),
        })?;
        let recipe = Recipe::load(&folder.join("recipe.toml"), &[])?;
        let seed = summary.student.as_ref().map_or(recipe.seed, |s| s.seed);
        Ok(Self {
            summary: Some(summary),
            weights: folder.join("student.safetensors"),
            ..Self::of(folder, found, recipe, seed)
        })
    }

    /// A run whose trainings ended, of one seed.
    pub fn trained(folder: &Path, seed: u64) -> Result<Self, Error> {
        let found = run_folder(folder)?;
        let recipe = Recipe::load(&folder.join("recipe.toml"), &[])?;
        Ok(Self::of(folder, found, recipe, seed))
    }

    fn of(folder: &Path, mut found: RunFolder, recipe: Recipe, seed: u64) -> Self {
        let role = recipe.last_role();
        let file = format!("checkpoints/{}-seed{seed}.safetensors", role.file_name());
        let history = found.trainings.remove(&(role.clone(), seed));
        Self {
            weights: folder.join(file),
            folder: folder.into(),
            history: history.unwrap_or_default(),
            recipe,
            summary: None,
            role,
        }
    }

    /// Validation accuracy after each epoch.
    pub fn curve(&self) -> Vec<f64> {
        let epochs = self.history.epochs.values();
        epochs
            .filter_map(|epoch| Some(epoch.validation.first()?.value))
            .collect()
    }

    /// Weighted gradient norms, means over what was recorded in the last quarter of the steps.
    pub fn terms(&self) -> Vec<TermGradient> {
        let steps: Vec<_> = self.history.steps.values().collect();
        let last = steps.iter().skip(steps.len() * 3 / 4);
        let mut sums: Vec<(String, f64, usize)> = Vec::new();
        for (name, component) in last.flat_map(|step| &step.components) {
            let Some(norm) = component.gradient_norm.filter(|norm| norm.is_finite()) else {
                continue;
            };
            let norm = norm * component.weight;
            match sums.iter_mut().find(|(known, ..)| known == name) {
                Some((_, sum, count)) => (*sum, *count) = (*sum + norm, *count + 1),
                None => sums.push((name.clone(), norm, 1)),
            }
        }
        let weighted = sums.into_iter().filter(|(_, sum, _)| *sum > 0.0);
        weighted
            .map(|(name, sum, count)| TermGradient {
                name,
                norm: sum / count as f64,
            })
            .collect()
    }

    /// Where the training of the student ended.
    pub fn end(&self) -> Step {
        let epochs = self.recipe.train.epochs;
        let index = self.history.steps.keys().last().copied().unwrap_or(0);
        Step {
            epoch: epochs,
            epochs,
            index,
        }
    }

    /// The temperature of the term `kd` at the end.
    pub fn temperature(&self) -> Option<f64> {
        let objective = self.recipe.objective_of(&self.recipe.student);
        objective
            .terms
            .iter()
            .find_map(|(_, entry)| match &entry.term {
                TermConfig::Kd(config) => Some(Schedule::at(&config.temperature, &self.end())),
                _ => None,
            })
    }

    /// Parameters of both, and of networks of their families.
    pub fn sizes(
        &self,
        task: &ImageClassification<Network>,
        device: &Device,
    ) -> Result<Option<Sizes>, Error> {
        let built = |model: &str| -> Result<u64, Error> {
            Ok(task.cost(&task.build(model, device)?)?.parameters)
        };
        let sizes = match &self.summary {
            Some(summary) => {
                let of_role = |role: &Role| summary.networks.iter().find(|n| n.role == *role);
                let both = of_role(&Role::Teacher).zip(of_role(&self.role));
                both.map(|both| {
                    [both.0, both.1].map(|network| (network.model.clone(), network.parameters))
                })
            }
            None => {
                let (student, teacher) = (&self.recipe.student.model, &self.recipe.teacher);
                let of = |model: &String| built(model).map(|count| (model.clone(), count));
                match teacher {
                    Some(teacher) => Some([of(&teacher.model)?, of(student)?]),
                    None => None,
                }
            }
        };
        let Some([teacher, student]) = sizes else {
            return Ok(None);
        };
        let family = |name: &str| {
            models()
                .iter()
                .find(|m| m.name == name)
                .map(|m| (m.family, m.image_size))
        };
        let families = [&teacher.0, &student.0].map(|model| family(model));
        let mut others = Vec::new();
        for model in models() {
            if families.contains(&Some((model.family, model.image_size))) {
                others.push((model.name.to_owned(), built(model.name)?));
            }
        }
        Ok(Some(Sizes {
            teacher: teacher.1,
            student: student.1,
            others,
        }))
    }
}
