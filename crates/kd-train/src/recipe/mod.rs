//! The recipe: one TOML file that says everything about a run.

mod checkpoint;
mod differences;
mod graph;
mod mixing;
mod parse;
mod plan;
mod stage;
mod starts;
mod warnings;
mod work;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kd_core::ObjectiveConfig;
use kd_data::detection::DetectionConfig;
use kd_data::{DataConfig, Normalize};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::cache::CacheConfig;
use crate::lr::LrConfig;
use crate::optimizer::OptimizerConfig;
use crate::optimizer::groups::GroupsConfig;
use crate::task::TextData;
use crate::track::TrackConfig;

pub use self::checkpoint::CheckpointConfig;
pub(crate) use self::differences::{differences, resolved, without_free_keys};
pub(crate) use self::graph::{STUDENT, TEACHER};
pub(crate) use self::parse::backslash_hint;
pub use self::plan::{ClassifierStart, Start, StudentPlan, TrainingPlan};
pub use self::stage::{InitFrom, StageSpec};
pub use self::work::{ExportConfig, Program, Work};

/// A run, from data to objective. Unknown keys are errors; [`Recipe::to_toml`] writes all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Name of the run; its folder is called so.
    pub name: String,
    /// First seed; `--seeds N` uses this one and the N - 1 after it.
    #[serde(default = "first_seed")]
    pub seed: u64,
    /// Train the student alone as well, with the same budget and seed, to compare with.
    #[serde(default = "yes")]
    pub compare: bool,
    /// The data: images with classes. Left out where there is `[detection]` or `[text]`.
    #[serde(default = "no_data", skip_serializing_if = "is_no_data")]
    pub data: DataConfig,
    /// Images with boxes in the place of images with classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detection: Option<DetectionConfig>,
    /// Sentences in the place of images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextData>,
    /// Networks of the run that answer together at its end, by stage; `student` is one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ensemble: Vec<String>,
    /// The student: the last stage.
    pub student: StageSpec,
    /// Networks that are trained before the student, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stages: BTreeMap<String, StageSpec>,
    /// The teacher; a recipe without one trains the student on labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub teacher: Option<TeacherSpec>,
    /// The loss, of every stage that has none of its own.
    pub objective: ObjectiveConfig,
    /// Budget, optimiser and learning rate, of every stage that has none of its own.
    pub train: TrainConfig,
    /// Where the metrics are shown beside the report.
    #[serde(default, skip_serializing_if = "TrackConfig::is_default")]
    pub track: TrackConfig,
}

/// The teacher, and how to train it when it has no weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeacherSpec {
    /// Name in the registry; empty where it is left to the weights, until [`Recipe::complete`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub model: String,
    /// Trained weights: a file or folder, relative to the recipe, or an address of the hub such as
    /// `hf://timm/resnet18.a1_in1k`. Without them the teacher is trained first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights: Option<PathBuf>,
    /// What stands before the names of this network in a file of several, such as `teacher`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weights_prefix: Option<String>,
    /// A file with its classifier, instead of that of `weights`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier_weights: Option<PathBuf>,
    /// Mean and standard deviation that its weights were trained with; those of `[data]` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub normalize: Option<Normalize>,
    /// Height and width of the images that it sees: those of the students, resized. Theirs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<usize>,
    /// How it is trained; the student's `[train]` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub train: Option<TrainConfig>,
    /// What is kept of its answers; nothing when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheConfig>,
}

/// Budget, optimiser and learning rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the training split.
    pub epochs: usize,
    /// Images in a batch.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Batches whose gradients are averaged into one optimiser step.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Optimiser.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// Parameters that are not treated alike.
    #[serde(default, skip_serializing_if = "GroupsConfig::is_default")]
    pub groups: GroupsConfig,
    /// Learning rate over time.
    pub lr: LrConfig,
    /// Largest global L2 norm of the gradient; larger ones are scaled down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Decay of an exponential moving average of the student, which is then the one evaluated and kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
    /// Stop after so many epochs without a higher validation accuracy, or a better first score where that
    /// is another one. A lower loss at the same accuracy does not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patience: Option<usize>,
    /// End an epoch after so many batches (for trials).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches_per_epoch: Option<usize>,
    /// Write a step record every so many optimiser steps.
    #[serde(default = "default_log_every")]
    pub log_every: usize,
    /// When the state of the training is saved beside the end of every epoch.
    #[serde(default, skip_serializing_if = "CheckpointConfig::is_default")]
    pub checkpoint: CheckpointConfig,
    /// Measure the gradient norm of every component of the loss, before weighting, each so many optimiser
    /// steps, from the first; it costs a forward and a backward pass a component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gradient_norms_every: Option<usize>,
}

impl TeacherSpec {
    /// A teacher that is trained first, on labels, with the student's budget.
    pub fn new(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            weights: None,
            weights_prefix: None,
            classifier_weights: None,
            normalize: None,
            size: None,
            train: None,
            cache: None,
        }
    }
}

impl TrainConfig {
    /// So many epochs of the default optimiser and batch, at a constant learning rate.
    pub fn new(epochs: usize, lr: f64) -> Self {
        Self {
            epochs,
            batch: default_batch(),
            accumulate: one(),
            optimizer: OptimizerConfig::default(),
            groups: GroupsConfig::default(),
            lr: LrConfig::new(lr),
            clip_norm: None,
            ema: None,
            patience: None,
            batches_per_epoch: None,
            log_every: default_log_every(),
            checkpoint: CheckpointConfig::default(),
            gradient_norms_every: None,
        }
    }
}

/// Where a recipe says nothing of data.
fn no_data() -> DataConfig {
    DataConfig {
        name: String::new(),
        ..DataConfig::default()
    }
}
fn is_no_data(data: &DataConfig) -> bool {
    *data == no_data()
}
fn first_seed() -> u64 {
    1
}
fn yes() -> bool {
    true
}
fn one() -> usize {
    1
}
fn default_batch() -> usize {
    64
}
fn default_log_every() -> usize {
    10
}

impl Recipe {
    /// The images of this recipe, for a command that reads images with classes only.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a recipe of boxes or of sentences.
    pub(crate) fn images(&self, command: &str) -> Result<&DataConfig, Error> {
        let other = match (&self.detection, &self.text) {
            (None, None) => return Ok(&self.data),
            (Some(_), _) => "boxes ([detection])",
            (None, Some(_)) => "sentences ([text])",
        };
        Err(Error::Recipe(format!(
            "`{}` is a recipe of {other}, and {command} reads images with classes",
            self.name
        )))
    }

    /// A recipe in code: a student that learns with this objective, without a teacher and stages, which
    /// the fields add.
    ///
    /// ```
    /// use kd_train::{Recipe, TeacherSpec, TrainConfig};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let objective = serde_json::from_str(r#"{ "cross_entropy": {}, "kd": {} }"#)?;
    /// let mut recipe = Recipe::new("mine", "resnet8", objective, TrainConfig::new(20, 0.1));
    /// recipe.teacher = Some(TeacherSpec::new("resnet20"));
    /// assert_eq!(recipe.plans().len(), 2); // the student alone, and distilled
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        name: impl Into<String>,
        student: impl Into<String>,
        objective: ObjectiveConfig,
        train: TrainConfig,
    ) -> Self {
        Self {
            name: name.into(),
            seed: first_seed(),
            compare: yes(),
            data: DataConfig::default(),
            detection: None,
            text: None,
            ensemble: Vec::new(),
            student: StageSpec::new(student),
            stages: BTreeMap::new(),
            teacher: None,
            objective,
            train,
            track: TrackConfig::default(),
        }
    }

    /// Reads a recipe and applies overrides of the form `key.path=value`.
    ///
    /// Paths of weights are relative to the recipe's folder, those of overrides to the working
    /// directory; both come out absolute.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Recipe`] that names file, line, key
    /// and the nearest valid name when it is wrong.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, Error> {
        let mut recipe = parse::load(path, overrides)?;
        if !recipe.leaves_data_to_weights() {
            recipe.data = recipe.data.with_interpolation();
        }
        let data = match &recipe.detection {
            Some(detection) => detection.validate(),
            None if recipe.text.is_some() => Ok(()),
            None => recipe.data_to_be().validate(),
        };
        let data = data.map_err(|e| e.to_string());
        recipe
            .validate_name()
            .and(data)
            .and_then(|()| recipe.validate())
            .map_err(|problem| Error::Recipe(format!("{}: {problem}", path.display())))?;
        Ok(recipe)
    }

    /// The recipe with another number of epochs in every budget: its own, the teacher's, and those of stages. A
    /// teacher with weights is not trained, and keeps its own.
    ///
    /// # Errors
    /// [`Error::Recipe`] that names the key which does not go with so few epochs, such as a longer warm-up.
    pub fn with_epochs(mut self, epochs: usize) -> Result<Self, Error> {
        self.train.epochs = epochs;
        let teacher = self.teacher.iter_mut().filter(|t| t.weights.is_none());
        let teacher = teacher.filter_map(|t| t.train.as_mut());
        let stages = self.stages.values_mut().filter_map(|s| s.train.as_mut());
        for budget in teacher.chain(stages) {
            budget.epochs = epochs;
        }
        let checked = self.validate();
        checked.map_err(|problem| Error::Recipe(format!("--epochs {epochs}: {problem}")))?;
        Ok(self)
    }

    /// The recipe with every key written out.
    ///
    /// # Errors
    /// [`Error::Recipe`] when a value has no TOML form.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string_pretty(self).map_err(|e| Error::Recipe(e.to_string()))
    }

    /// Whether the student learns from more than labels: from a teacher, other students or itself, or
    /// from the stage that it starts from.
    pub fn distils(&self) -> bool {
        self.objective.distils() || self.student.start.is_some()
    }

    /// The loss of a stage: its own, or the recipe's; of a stage that has none of its own and nobody to learn
    /// from, where the recipe's compares with a teacher, the labels.
    pub fn objective_of(&self, stage: &StageSpec) -> ObjectiveConfig {
        match &stage.objective {
            Some(objective) => objective.clone(),
            None if self.objective.needs_teacher() && !self.taught(stage) => {
                self.objective.labels_only()
            }
            None => self.objective.clone(),
        }
    }

    /// Whether a stage has anyone to learn from.
    pub(crate) fn taught(&self, stage: &StageSpec) -> bool {
        stage.mutual || !self.teachers_of(stage).is_empty()
    }

    /// Budget, optimiser and learning rate of a stage.
    pub fn train_of<'a>(&'a self, stage: &'a StageSpec) -> &'a TrainConfig {
        stage.train.as_ref().unwrap_or(&self.train)
    }

    /// What is wrong with it, whatever the data.
    pub(crate) fn validate(&self) -> Result<(), String> {
        self.validate_name()?;
        self.train.validate("train")?;
        if let Some(train) = self.teacher.as_ref().and_then(|t| t.train.as_ref()) {
            train.validate("teacher.train")?;
        }
        if let Some(cache) = self.teacher.as_ref().and_then(|t| t.cache.as_ref()) {
            cache.validate()?;
        }
        self.validate_detection()?;
        self.validate_work()?;
        self.validate_weights()?;
        self.validate_student()?;
        self.validate_patience()?;
        self.validate_graph()?;
        self.validate_views()?;
        self.validate_repeats()?;
        self.validate_mix()
    }

    /// What goes with boxes.
    fn validate_detection(&self) -> Result<(), String> {
        if self.text.is_some() && !is_no_data(&self.data) {
            return Err(
                "[data] and [text]: a run has images or sentences; remove one of the two tables"
                    .into(),
            );
        }
        if self.detection.is_none() {
            return Ok(());
        }
        if self.text.is_some() {
            return Err("[detection] and [text]: a run has images or sentences; remove one of the two tables".into());
        }
        if !is_no_data(&self.data) {
            return Err("[data] and [detection]: a run has images with classes or images with boxes; remove one of the two \
                        tables"
                .into());
        }
        if self.teacher.as_ref().is_some_and(|t| t.cache.is_some()) {
            return Err("[teacher.cache]: a detector is asked about boxes of views that never come again, so no answer \
                        would be used twice; remove the table"
                .into());
        }
        if !self.ensemble.is_empty() {
            return Err("ensemble: detectors do not answer together; leave it out".into());
        }
        Ok(())
    }

    /// The name becomes a folder.
    fn validate_name(&self) -> Result<(), String> {
        let name = &self.name;
        let taken = ["finished", "teacher-cache"].contains(&name.as_str());
        match taken || name.is_empty() || name.starts_with('.') || name.contains(['/', '\\']) {
            false => Ok(()),
            true => Err(format!(
                "name = {name:?}: the run folder is called by it, so it must not be empty, start with a dot, hold \
                 a slash, or be `finished` or `teacher-cache`"
            )),
        }
    }

    fn validate_patience(&self) -> Result<(), String> {
        let teacher = self.teacher.iter().filter_map(|t| t.train.as_ref());
        let stages = self.stages.values().filter_map(|s| s.train.as_ref());
        let mut budgets = [&self.train].into_iter().chain(teacher).chain(stages);
        match self.data.validation == 0.0 && budgets.any(|budget| budget.patience.is_some()) {
            false => Ok(()),
            true => Err(
                "train.patience waits for a better validation accuracy, and data.validation = 0: hold some \
                 images out, or leave `patience` out"
                    .into(),
            ),
        }
    }

    fn validate_student(&self) -> Result<(), String> {
        let own = [
            ("objective", self.student.objective.is_some()),
            ("train", self.student.train.is_some()),
        ];
        if let Some((key, _)) = own.into_iter().find(|(_, given)| *given) {
            return Err(format!(
                "student.{key}: the student is the last stage, and its {key} is the recipe's: write \
                 it as [{key}]"
            ));
        }
        if !self.student.work.is_train() {
            return Ok(());
        }
        if self.objective.needs_teacher() && !self.taught(&self.student) {
            return Err(match &self.student.teachers {
                Some(_) => "the objective compares with a teacher, and student.teachers is empty: name one there, \
                            or keep only `cross_entropy` in [objective]"
                    .into(),
                None => "the objective compares with a teacher: add a [teacher] table, or keep only \
                         `cross_entropy` in [objective]"
                    .into(),
            });
        }
        if !self.objective.needs_teacher() && self.taught(&self.student) {
            return Err(format!(
                "{}, but no term of [objective] compares with it: add one (`kd methods` lists them), \
                 or {}",
                match (self.student.mutual, &self.student.teachers) {
                    (true, _) => "student.mutual lets the students learn from each other",
                    (false, Some(_)) => "student.teachers names a teacher",
                    (false, None) => "there is a [teacher]",
                },
                match (self.student.mutual, &self.student.teachers) {
                    (true, _) => "leave `mutual` out",
                    (false, Some(_)) => "empty student.teachers",
                    (false, None) => "remove [teacher]",
                },
            ));
        }
        Ok(())
    }
}

/// Images in a batch: more would not fit any memory.
const MOST_IN_A_BATCH: usize = 1 << 20;

impl TrainConfig {
    fn validate(&self, table: &str) -> Result<(), String> {
        let at_least_one = [
            ("epochs", self.epochs),
            ("batch", self.batch),
            ("accumulate", self.accumulate),
            ("log_every", self.log_every),
            ("batches_per_epoch", self.batches_per_epoch.unwrap_or(1)),
            ("patience", self.patience.unwrap_or(1)),
            (
                "gradient_norms_every",
                self.gradient_norms_every.unwrap_or(1),
            ),
        ];
        if let Some((key, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(format!("{table}.{key} = 0: must be at least 1"));
        }
        if self.batch > MOST_IN_A_BATCH {
            return Err(format!(
                "{table}.batch = {}: must be at most {MOST_IN_A_BATCH}",
                self.batch
            ));
        }
        if let Some(norm) = self.clip_norm.filter(|n| !(n.is_finite() && *n > 0.0)) {
            return Err(format!("{table}.clip_norm = {norm}: must be above 0"));
        }
        if let Some(ema) = self.ema.filter(|d| !(0.0..1.0).contains(d)) {
            return Err(format!("{table}.ema = {ema}: must be in [0, 1)"));
        }
        self.checkpoint.validate(&format!("{table}.checkpoint"))?;
        self.optimizer.validate(&format!("{table}.optimizer"))?;
        self.groups.validate(&format!("{table}.groups"))?;
        self.lr.validate(&format!("{table}.lr"), self.epochs)
    }
}
