//! A whole run: teacher, stages, student alone, student distilled, measured and written down.

mod arms;
mod caching;
mod stages;
mod store;
mod training;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use kd_data::{Augment, Dataset, Images, Loader, LoaderConfig, Splits};

use self::arms::{Measured, measure, measure_ensemble, summarise_gain};
use self::store::Store;
use crate::check::{DataShape, check};
use crate::folder::Folder;
use crate::summary::{DataSummary, Summary};
use crate::{Arm, Error, Event, Observer, Recipe, report, temperature};

/// Where a run goes and how often it is repeated.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The run folder; it must not hold a run yet.
    pub out: PathBuf,
    /// Seeds: the recipe's and the ones after it.
    pub seeds: usize,
    /// The device as the user named it, for the record.
    pub device_name: String,
    /// Whether a training that an earlier run finished is taken from there. Every run leaves its own
    /// in the folder `finished` beside the run folder, under a name that follows from all that a training
    /// depends on: networks and weights, objective, budget, seed, data, device and version.
    pub reuse: bool,
}

impl RunOptions {
    /// The folder of finished trainings.
    pub fn finished(&self) -> PathBuf {
        let beside = self.out.parent().unwrap_or(Path::new(""));
        beside.join("finished")
    }
}

/// Runs a recipe and writes its folder: `recipe.toml` as resolved, `metrics.jsonl`,
/// `student.safetensors` (the student as it is deployed), `summary.json`, `report.html`, and the best weights
/// of every training under `checkpoints/`.
///
/// The validation split selects the epoch that is kept; the test split is read once, at the end.
///
/// # Errors
/// When the recipe, the data, weights or the run folder are wrong, the loss stops being finite, or
/// the observer asks to stop.
pub fn run(
    recipe: &Recipe,
    options: &RunOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    let mut folder = Folder::create(&options.out)?;
    let result = fill(&mut folder, recipe, options, device, observer);
    if result.is_err() {
        folder.discard_unused();
    }
    result
}

/// Trains, measures and writes everything into the folder.
fn fill(
    folder: &mut Folder,
    recipe: &Recipe,
    options: &RunOptions,
    device: &Device,
    observer: &mut dyn Observer,
) -> Result<Summary, Error> {
    folder.text("recipe.toml", &recipe.to_toml()?)?;
    let known = DataShape::known(recipe);
    // Before data are fetched, where they are known.
    if let Some(shape) = &known {
        check(recipe, shape, device)?;
    }
    let dataset = kd_data::load(&recipe.data, &mut |p| observer.event(Event::Data(p)))?;
    let splits = kd_data::split(&dataset, &recipe.data)?;
    let shape = DataShape::new(&dataset, &splits);
    if known.is_none() {
        check(recipe, &shape, device)?;
    }
    let job = Job {
        recipe,
        dataset: &dataset,
        splits: &splits,
        shape,
        device,
        store: Store::new(options),
    };
    let trained = job.train_all(options, folder, observer)?;
    let test = job.loader(&dataset.test, &splits.test, None, recipe.train.batch)?;
    let teacher = match &trained.teacher {
        Some(teacher) => Some(measure(teacher, &job, &test, None, observer)?),
        None => None,
    };
    let mut measured: Vec<Measured> = Vec::new();
    for student in &trained.students {
        measured.push(measure(student, &job, &test, teacher.as_ref(), observer)?);
    }
    for members in trained.ensembles(recipe) {
        let ensemble = measure_ensemble(&members, &job, &test, teacher.as_ref(), observer)?;
        measured.push(ensemble);
    }
    let result = match recipe.distils() {
        true => Arm::Distilled,
        false => Arm::Alone,
    };
    if let Some(student) = trained.students.iter().find(|s| s.arm == result) {
        student.save(&options.out.join("student.safetensors"), recipe)?;
    }
    let temperature = match &teacher {
        Some(t) => {
            let of = |p| temperature::summarise(p, &dataset.test, &splits.test);
            Some(of(&t.predictions)?)
        }
        None => None,
    };
    let gain = summarise_gain(&measured);
    let summary = Summary {
        name: recipe.name.clone(),
        version: env!("CARGO_PKG_VERSION").into(),
        device: options.device_name.clone(),
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        data: DataSummary {
            name: dataset.name.clone(),
            sha256: dataset.sha256.clone(),
            train: splits.train.len(),
            validation: splits.validation.len(),
            test: splits.test.len(),
            classes: dataset.classes.clone(),
        },
        arms: teacher
            .into_iter()
            .chain(measured)
            .map(|m| m.summary)
            .collect(),
        gain,
        temperature,
        cache: trained.cache,
    };
    folder.json("summary.json", &summary)?;
    report::write(&options.out)?;
    Ok(summary)
}

/// What all trainings of a run share.
struct Job<'a> {
    recipe: &'a Recipe,
    dataset: &'a Dataset,
    splits: &'a Splits,
    shape: DataShape,
    device: &'a Device,
    store: Store,
}

impl Job<'_> {
    fn loader(
        &self,
        images: &Arc<Images>,
        indices: &[usize],
        training: Option<u64>,
        batch: usize,
    ) -> Result<Loader, Error> {
        let config = LoaderConfig {
            batch,
            augment: match training {
                Some(_) => self.recipe.data.augment,
                None => Augment::none(),
            },
            mean: self.dataset.mean.clone(),
            std: self.dataset.std.clone(),
            seed: training.unwrap_or(0),
            shuffle: training.is_some(),
            drop_last: false,
        };
        Ok(Loader::new(images.clone(), indices.to_vec(), config)?)
    }
}
