//! The steps in their order.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use kd_improve::{Budget, Check, Improved, Spent, Step};
use kd_models::Network;
use serde_json::json;

use super::baseline;
use super::finish;
use super::trainer::Trainer;
use crate::folder::{io, kept_json};
use crate::recipe::resolved;
use crate::search::SearchObserver;
use crate::study::StudyObserver;
use crate::study::folder::lock;
use crate::task::{ImageClassification, Task};
use crate::{DataShape, Error, Event, Observer, Recipe, Score, Silent, TrainConfig};

/// Where the procedure goes, and what it may cost.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its folder.
    pub out: PathBuf,
    /// The device as the user named it, for the record.
    pub device_name: String,
    /// What it may cost.
    pub budget: Budget,
    /// Seeds of every comparison; one more chooses between candidates.
    pub seeds: usize,
}

/// Watches the procedure and its trainings, and may stop it.
pub trait ImproveObserver: Observer {
    /// Called before what comes next, such as a training: what it is for.
    fn turn(&mut self, what: &str) {
        let _ = what;
    }
}

impl ImproveObserver for Silent {}

/// Tells the observer of the procedure what a search or a study does.
pub(super) struct Within<'a>(pub &'a mut dyn ImproveObserver);

impl Observer for Within<'_> {
    fn event(&mut self, event: Event<'_>) {
        self.0.event(event);
    }

    fn stop(&self) -> bool {
        self.0.stop()
    }
}

impl SearchObserver for Within<'_> {
    fn trial(&mut self, trial: &crate::search::Trial, epochs: usize) {
        let changes = trial.changes.join(", ");
        self.0.turn(&format!(
            "search, trial {} to epoch {epochs}: {changes}",
            trial.number
        ));
    }
}

impl StudyObserver for Within<'_> {
    fn variant(&mut self, turn: &crate::study::Turn<'_>) {
        self.0.turn(&format!("test images, {}", turn.name));
    }
}

/// The procedure under way.
pub(super) struct Procedure<'a> {
    pub trainer: Trainer<'a>,
    pub options: &'a Options,
    pub device: &'a Device,
    pub task: ImageClassification<Network>,
    /// The first seed of comparisons.
    pub seed: u64,
    /// What was kept so far.
    pub changes: Vec<String>,
    /// Validation scores of the recipe so far, a seed each.
    pub scores: Vec<Score>,
    /// The run folder of the first seed of the recipe so far.
    pub folder: PathBuf,
    pub found: Improved,
}

/// Runs the procedure for a recipe with `overrides` of the form `key.path=value` into its folder, and goes on with what an
/// earlier start of it left there.
///
/// After every step it writes `improve.json`, `improve.html` and `best.toml`.
///
/// # Errors
/// [`Error::Recipe`] for a recipe that is wrong, has no teacher, no images with classes or no validation split, for a budget
/// that the first step does not fit in, and when the folder holds the procedure of another recipe; what trainings return, but
/// for a loss that is no number: those settings are bad, and the procedure goes on.
pub fn run(
    path: &Path,
    overrides: &[String],
    options: &Options,
    device: &Device,
    observer: &mut dyn ImproveObserver,
) -> Result<Improved, Error> {
    let recipe = Recipe::load(path, overrides)?;
    check(path, &recipe, options)?;
    let recipe = recipe.complete(observer)?;
    if let Some(shape) = DataShape::known(&recipe) {
        crate::check(&recipe, &shape, device)?;
    }
    let inputs = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "device": options.device_name,
        "recipe": resolved(&recipe)?,
        "seed": recipe.seed,
    });
    let kept = kept_json(
        options.out.join(finish::FILE),
        "is not what an earlier `kd improve` found",
        "remove it, or choose another folder with --out",
    )?;
    if let Some(Improved {
        inputs: earlier, ..
    }) = &kept
        && let Some(key) = ["recipe", "device", "version", "seed"]
            .into_iter()
            .find(|key| earlier[key] != inputs[key])
    {
        return Err(Error::Recipe(format!(
            "{} holds what was found for another {key}; choose another folder with --out, or remove this one",
            options.out.display()
        )));
    }
    let task = ImageClassification::<Network>::load(&recipe.data, observer)?;
    std::fs::create_dir_all(&options.out).map_err(io("create", &options.out))?;
    let _lock = lock(&options.out)?;
    let data = task.summary();
    let found = Improved {
        name: recipe.name.clone(),
        inputs,
        facts: facts(path, &recipe, options, &data),
        score: String::new(),
        unit: String::new(),
        seeds: options.seeds,
        images: data.validation,
        budget: options.budget,
        spent: Spent::default(),
        alone: Vec::new(),
        given: Vec::new(),
        distilled: None,
        checks: Vec::new(),
        findings: Vec::new(),
        steps: Vec::new(),
        stopped: false,
        changes: Vec::new(),
        test: None,
        links: Vec::new(),
    };
    let mut procedure = Procedure {
        trainer: Trainer::new(
            path,
            overrides,
            options,
            device,
            [recipe.train.epochs, data.train],
        ),
        options,
        device,
        task,
        seed: recipe.seed,
        changes: Vec::new(),
        scores: Vec::new(),
        folder: PathBuf::new(),
        found,
    };
    procedure.all(&recipe, observer)?;
    Ok(procedure.found)
}

/// What is wrong with a recipe for this procedure, known without its data.
fn check(path: &Path, recipe: &Recipe, options: &Options) -> Result<(), Error> {
    let wrong = |problem: &str| Err(Error::Recipe(format!("{}: {problem}", path.display())));
    recipe.images("kd improve")?;
    if recipe.teacher.is_none() {
        return wrong(
            "there is no [teacher]: there is nothing to distil from; add one, or use `kd search` for a student alone",
        );
    }
    if !recipe.distils() || !recipe.objective.needs_teacher() {
        return wrong("no term of [objective] compares with the teacher: add one, such as kd = {}");
    }
    if recipe.data.validation == 0.0 {
        return wrong(
            "data.validation = 0 leaves nothing to decide by, and the test split is not for deciding: hold some images out, \
             such as data.validation = 0.1",
        );
    }
    if options.seeds < 2 {
        return Err(Error::Recipe(format!(
            "--seeds {}: one seed shows no difference between recipes; give at least 2, better 5",
            options.seeds
        )));
    }
    let (needed, seeds) = (baseline::needed(options.seeds), options.seeds);
    if let Budget::Trainings(all) = options.budget
        && (all as f64) < needed
    {
        return Err(Error::Recipe(format!(
            "--budget {all} is too small: the first step alone needs {needed:.0} trainings with {seeds} seeds (the student \
             distilled and alone, and the checks of the baseline); give --budget {:.0} or more, or fewer --seeds",
            2.0 * needed
        )));
    }
    Ok(())
}

fn facts(
    path: &Path,
    recipe: &Recipe,
    options: &Options,
    data: &crate::DataSummary,
) -> Vec<(String, String)> {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let teacher = recipe.teacher.as_ref().map_or("", |t| t.model.as_str());
    let facts = [
        ("Recipe", file.into_owned()),
        (
            "Teacher and student",
            format!("{teacher} → {}", recipe.student.model),
        ),
        (
            "Data",
            format!(
                "{}: {} training and {} validation images",
                data.name, data.train, data.validation
            ),
        ),
        ("Seeds", options.seeds.to_string()),
        ("Device", options.device_name.clone()),
        ("Version", format!("kd {}", env!("CARGO_PKG_VERSION"))),
    ];
    let facts = facts.into_iter();
    facts
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

impl Procedure<'_> {
    fn all(&mut self, recipe: &Recipe, observer: &mut dyn ImproveObserver) -> Result<(), Error> {
        self.teacher(recipe, observer)?;
        let sound = self.baseline(observer)?;
        if !sound {
            self.found.stopped = true;
            return self.write(observer);
        }
        self.write(observer)?;
        let mut advice = self.diagnose(observer)?;
        if let Some(normalize) = advice.normalize.clone() {
            let kept = self.input(normalize, observer)?;
            self.write(observer)?;
            if kept {
                advice = self.diagnose(observer)?;
            }
        }
        self.features(&advice, observer)?;
        self.write(observer)?;
        self.search(observer)?;
        self.write(observer)?;
        self.assistant(&advice, observer)?;
        self.write(observer)?;
        self.measure(observer)?;
        self.write(observer)
    }

    /// Trains the teacher where it has no weights, once for all.
    fn teacher(
        &mut self,
        recipe: &Recipe,
        observer: &mut dyn ImproveObserver,
    ) -> Result<(), Error> {
        let Some(spec) = recipe.teacher.as_ref().filter(|t| t.weights.is_none()) else {
            return Ok(());
        };
        let train: &TrainConfig = spec.train.as_ref().unwrap_or(&recipe.train);
        let alone = Recipe {
            data: recipe.data.clone(),
            seed: recipe.seed,
            compare: false,
            ..Recipe::new(
                "teacher",
                &spec.model,
                recipe.objective.labels_only(),
                train.clone(),
            )
        };
        let unit = self.trainer.ledger.unit;
        let trained = self
            .trainer
            .train_recipe("the teacher", &alone, recipe.seed, observer)?;
        // A training of the teacher does not say how long one of the student takes.
        self.trainer.ledger.unit = unit;
        if let Some(problem) = trained.problem {
            return Err(Error::Recipe(format!(
                "the teacher could not be trained: {problem}"
            )));
        }
        let file = format!(
            "checkpoints/{}-seed{}.safetensors",
            alone.last_role().file_name(),
            recipe.seed
        );
        let weights = trained.folder.join(file);
        let weights = std::path::absolute(&weights).map_err(io("resolve", &weights))?;
        let weights = toml::Value::String(weights.to_string_lossy().into_owned());
        self.trainer.shared = vec![
            format!("teacher.weights={weights}"),
            "teacher.train=".into(),
        ];
        Ok(())
    }

    /// Adds a step, and takes what it kept into the recipe.
    pub fn step(&mut self, step: Step) {
        self.found.steps.push(step);
    }

    /// Adds what was looked at.
    pub fn check(&mut self, title: &str, bad: bool, sentence: String) {
        self.found.checks.push(Check {
            title: title.into(),
            bad,
            sentence,
        });
    }
}
