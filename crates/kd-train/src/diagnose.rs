//! What a diagnosis reads of a finished run: answers of both networks, their maps, the loss.

mod gradients;
mod maps;
mod shifted;

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor};
use kd_core::{Schedule, Step, TermConfig};
use kd_diagnose::{Answers, Both, Diagnosis, Inputs, Sizes, TermGradient, TrainPart};
use kd_models::{Network, models};

use crate::evaluate::{Predictions, predict};
use crate::explain::teacher_of;
use crate::folder::{kept_json, write_atomically};
use crate::report::read::{History, run_folder};
use crate::source::with_all_of;
use crate::task::{ImageClassification, Task, TaskSpec};
use crate::{Error, Event, Observer, Recipe, Role, Source, Summary};

/// Training images that both networks answer.
const TRAIN_IMAGES: usize = 4000;
/// The file of a diagnosis in a run folder, which the report shows.
const FILE: &str = "diagnosis.json";

/// Diagnoses the student of a finished run of images, and keeps `diagnosis.json` in its folder, which the run's report shows from
/// then on. The test split is not read.
///
/// # Errors
/// [`Error::Format`] for a folder without a finished run, a run without a teacher or without a validation split; what reading
/// data and weights returns.
pub fn diagnose(
    folder: &Path,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Diagnosis, Error> {
    let inputs = gather(folder, device, observer)?;
    let found = kd_diagnose::diagnose(&inputs)?;
    let path = folder.join(FILE);
    let json = serde_json::to_string_pretty(&found).map_err(|e| Error::Format {
        path: path.clone(),
        problem: e.to_string(),
    })?;
    write_atomically(&path, (json + "\n").as_bytes())?;
    Ok(found)
}

/// The diagnosis that was kept in a run folder; none where there is none.
pub(crate) fn kept(folder: &Path) -> Result<Option<Diagnosis>, Error> {
    kept_json(
        folder.join(FILE),
        "is no diagnosis of this version",
        "run `kd diagnose` again",
    )
}

/// The run that is looked at.
struct Run {
    folder: PathBuf,
    recipe: Recipe,
    summary: Summary,
    /// Of the student's training.
    history: History,
    role: Role,
}

impl Run {
    fn read(folder: &Path) -> Result<Self, Error> {
        let mut found = run_folder(folder)?;
        let summary = found.summary.take().ok_or_else(|| Error::Format {
            path: folder.into(),
            problem: "the run is not finished: go on with it by `kd train --resume` first".into(),
        })?;
        let recipe = Recipe::load(&folder.join("recipe.toml"), &[])?;
        let role = recipe.last_role();
        let seed = summary.student.as_ref().map_or(recipe.seed, |s| s.seed);
        let history = found.trainings.remove(&(role.clone(), seed));
        Ok(Self {
            folder: folder.into(),
            history: history.unwrap_or_default(),
            recipe,
            summary,
            role,
        })
    }

    /// Validation accuracy after each epoch.
    fn curve(&self) -> Vec<f64> {
        let epochs = self.history.epochs.values();
        epochs
            .filter_map(|epoch| Some(epoch.validation.first()?.value))
            .collect()
    }

    /// Weighted gradient norms, means over what was recorded in the last quarter of the steps.
    fn terms(&self) -> Vec<TermGradient> {
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
    fn end(&self) -> Step {
        let epochs = self.recipe.train.epochs;
        let index = self.history.steps.keys().last().copied().unwrap_or(0);
        Step {
            epoch: epochs,
            epochs,
            index,
        }
    }

    /// The temperature of the term `kd` at the end.
    fn temperature(&self) -> Option<f64> {
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
    fn sizes(
        &self,
        task: &ImageClassification<Network>,
        device: &Device,
    ) -> Result<Option<Sizes>, Error> {
        let of_role = |role: &Role| self.summary.networks.iter().find(|n| n.role == *role);
        let (Some(teacher), Some(student)) = (of_role(&Role::Teacher), of_role(&self.role)) else {
            return Ok(None);
        };
        let family = |name: &str| {
            models()
                .iter()
                .find(|m| m.name == name)
                .map(|m| (m.family, m.image_size))
        };
        let families = [&teacher.model, &student.model].map(|model| family(model));
        let mut others = Vec::new();
        for model in models() {
            if families.contains(&Some((model.family, model.image_size))) {
                let network = task.build(model.name, device)?;
                others.push((model.name.to_owned(), task.cost(&network)?.parameters));
            }
        }
        Ok(Some(Sizes {
            teacher: teacher.parameters,
            student: student.parameters,
            others,
        }))
    }
}

fn gather(folder: &Path, device: &Device, observer: &mut dyn Observer) -> Result<Inputs, Error> {
    let run = Run::read(folder)?;
    let recipe = &run.recipe;
    let task = ImageClassification::<Network>::load(recipe.images("kd diagnose")?, observer)?;
    let batch = recipe.train.batch;
    let validation = task.validation(batch)?.ok_or_else(|| Error::Format {
        path: folder.into(),
        problem: "the recipe keeps no validation split, and the test split is not for choosing: run it with \
                  `--set data.validation=0.1`"
            .into(),
    })?;
    let teacher = teacher_of(recipe, folder, &task, device)?;
    let weights = run.folder.join("student.safetensors");
    let student = task.load(&recipe.student.model, &weights, device)?;
    let student = burn::module::Module::valid(&student);
    observer.event(Event::Note("asking teacher and student"));
    let train = task.train_as_evaluated(TRAIN_IMAGES, batch)?;
    let indices = Source::indices(&train).to_vec();
    let mut inputs = Inputs::new(
        task.summary().classes,
        both(&teacher, &student, validation.as_ref(), device)?,
    );
    inputs.train = Some(TrainPart {
        both: both(&teacher, &student, &train, device)?,
        indices,
    });
    observer.event(Event::Note("comparing maps and gradients"));
    inputs.similarity = maps::similarity(&teacher, &student, validation.as_ref(), device)?;
    let objective = recipe.objective_of(&recipe.student);
    inputs.cosines = gradients::cosines(
        (&teacher, &student),
        (&task, &objective),
        &train,
        &run.end(),
        device,
    )?;
    inputs.temperature = run.temperature();
    inputs.terms = run.terms();
    inputs.curve = run.curve();
    inputs.sizes = run.sizes(&task, device)?;
    if let Some(spec) = recipe
        .teacher
        .as_ref()
        .filter(|spec| spec.weights.is_some())
    {
        for way in shifted::ways(&task, spec)? {
            let source = way.of(validation.as_ref());
            let answers = answers(&predict(&teacher, &source, device))?;
            inputs
                .normalised
                .push((way.name.clone(), with_all_of(&source, answers)?));
        }
    }
    Ok(inputs)
}

fn both(
    teacher: &Network,
    student: &Network,
    source: &dyn Source<Input = Tensor<4>>,
    device: &Device,
) -> Result<Both, Error> {
    let ask = |network: &Network| answers(&with_all_of(source, predict(network, source, device))?);
    Ok(Both {
        teacher: ask(teacher)?,
        student: ask(student)?,
    })
}

fn answers(predictions: &Predictions) -> Result<Answers, Error> {
    let (mut logits, mut labels) = (Vec::new(), Vec::new());
    for (row, label) in predictions.rows() {
        logits.extend_from_slice(row);
        labels.push(label);
    }
    let classes = logits.len() / labels.len().max(1);
    Ok(Answers::new(logits, labels, classes)?)
}
