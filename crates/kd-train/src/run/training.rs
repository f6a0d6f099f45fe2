//! One training of a run: done now, or taken from an earlier run that did the same.

use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use burn::module::Module;
use kd_core::{Combine, ObjectiveConfig, draw};
use kd_models::Network;
use serde_json::{Value, json};

use super::Job;
use super::store::Finished;
use crate::cache::{TeacherCache, identity};
use crate::check::Shown;
use crate::folder::Folder;
use crate::records::Record;
use crate::train::{Keeper, Lessons, Pupil, Trained, Training, train, usable_batches};
use crate::{Arm, Error, Event, Observer, Recipe, TrainConfig};

/// A network that will be measured.
pub(super) struct Contender {
    pub arm: Arm,
    pub seed: Option<u64>,
    pub network: Network,
    pub adapter_parameters: u64,
    /// Names of its teachers.
    pub learned_from: Vec<String>,
    pub training: Option<crate::summary::Training>,
}

impl Contender {
    pub(super) fn save(&self, path: &Path, recipe: &Recipe) -> Result<(), Error> {
        let metadata = [
            ("model", self.network.config().model.clone()),
            ("classes", self.network.config().classes.to_string()),
            ("channels", self.network.config().channels()?.to_string()),
            ("recipe", recipe.name.clone()),
        ];
        let metadata: Vec<(String, String)> = metadata
            .into_iter()
            .map(|(key, value)| (key.to_string(), value))
            .collect();
        Ok(self.network.save(path, &metadata)?)
    }
}

/// What a network's weights are before its training.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// Drawn from the seed.
    Fresh,
    /// Read from a file.
    File(&'a Path),
    /// Those of a finished stage.
    Network(&'a Network),
}

/// A network before its training.
pub(super) struct Novice<'a> {
    pub arm: Arm,
    pub model: &'a str,
    pub start: Start<'a>,
    /// Names of those it learns from.
    pub learns_from: Vec<String>,
}

/// One training of a run, of one network or of several together.
pub(super) struct Plan<'a> {
    pub seed: u64,
    pub novices: Vec<Novice<'a>>,
    pub objective: ObjectiveConfig,
    pub config: &'a TrainConfig,
    pub teachers: Vec<&'a Network>,
    pub combine: Combine,
    pub mutual: bool,
    /// Whether validation selects the epoch that is kept; else it is the last.
    pub select: bool,
    /// Views of an image that are shown; none for all.
    pub views: Option<NonZeroU64>,
}

impl Job<'_> {
    /// Trains what the plan says, unless an earlier run finished the same.
    pub(super) fn train(
        &self,
        plan: &Plan,
        cache: Option<&mut TeacherCache>,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Contender>, Error> {
        let autodiff = self.device.clone().autodiff();
        // All arms of a seed start from the same student and see the same images.
        draw::seed(plan.seed);
        let networks = plan
            .novices
            .iter()
            .map(|novice| {
                let config = self.shape.network(novice.model);
                Ok(match novice.start {
                    Start::Fresh => Network::new(&config, &autodiff)?,
                    Start::File(path) => Network::from_file(&config, path, &autodiff)?,
                    // A validation copy has running statistics of its own.
                    Start::Network(network) => network.valid().train(),
                })
            })
            .collect::<Result<Vec<Network>, Error>>()?;
        let inputs = self.inputs(plan, &networks, cache.is_some())?;
        if let Some(finished) = self.store.find(&inputs, plan, self, observer)? {
            return finished.replay(plan, folder);
        }
        let trained = self.train_now(plan, networks, cache, folder, observer)?;
        let finished = Finished::new(plan, trained.0, trained.1);
        if let Err(problem) = self.store.keep(&inputs, &finished) {
            observer.event(Event::Note(&format!(
                "this training cannot be kept for later runs: {problem}"
            )));
        }
        Ok(finished.contenders)
    }

    /// All that the result of a plan depends on.
    fn inputs(&self, plan: &Plan, networks: &[Network], cached: bool) -> Result<Value, Error> {
        let novices = plan.novices.iter().zip(networks).map(|(novice, network)| {
            let start = match novice.start {
                // The seed says it.
                Start::Fresh => "drawn from the seed".into(),
                Start::File(_) | Start::Network(_) => identity::hash(&network.valid()),
            };
            json!({"model": network.config().model, "start": start})
        });
        let novices: Vec<Value> = novices.collect();
        let teachers = plan.teachers.iter().map(
            |teacher| json!({"model": teacher.config().model, "weights": identity::hash(*teacher)}),
        );
        let teachers: Vec<Value> = teachers.collect();
        let kernels =
            kd_kernels::mode().map_or_else(|bad| bad.to_string(), |mode| mode.to_string());
        let data = &self.recipe.data;
        let kept = self.recipe.teacher.as_ref().and_then(|t| t.cache.as_ref());
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": self.store.device(),
            "kernels": kernels,
            "seed": plan.seed,
            "data": {
                "sha256": self.dataset.sha256,
                "name": data.name,
                "validation": data.validation,
                "train_limit": data.train_limit,
                "size": data.size,
                "mean": self.dataset.mean,
                "std": self.dataset.std,
                "augment": data.augment,
                "split_seed": data.split_seed,
                "views": plan.views.map(|count| (count, self.recipe.seed)),
            },
            "networks": novices,
            "teachers": teachers,
            "combine": plan.combine,
            "mutual": plan.mutual,
            "select": plan.select,
            // Where answers are kept changes nothing, how they are does.
            "cache": kept.filter(|_| cached).map(|c| (c.precision, c.top_k)),
            "objective": plan.objective,
            "train": plan.config,
        }))
    }

    fn train_now(
        &self,
        plan: &Plan,
        networks: Vec<Network>,
        cache: Option<&mut TeacherCache>,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<Trained<Network>>, Vec<Record>), Error> {
        let show = |network: &Network| self.shape.dry_run(network, self.device);
        let shown = Shown {
            students: networks.iter().map(|n| show(&n.valid())).collect(),
            teachers: plan.teachers.iter().map(|t| show(t)).collect(),
        };
        let objective = plan.objective.clone().with_samples(self.shape.train);
        let objectives = shown.objectives(&objective, &plan.combine, plan.mutual, self.device)?;
        let mut pupils = Vec::new();
        for ((student, objective), novice) in
            networks.into_iter().zip(objectives).zip(&plan.novices)
        {
            pupils.push(Pupil {
                arm: novice.arm.clone(),
                student,
                objective,
            });
        }
        let data = &self.dataset.train;
        let mut batches =
            self.loader(data, &self.splits.train, Some(plan.seed), plan.config.batch)?;
        if let Some(count) = plan.views {
            batches = batches.with_views(count, self.recipe.seed);
        }
        let validation = match self.splits.validation.as_slice() {
            indices if indices.is_empty() || !plan.select => None,
            indices => Some(self.loader(data, indices, None, plan.config.batch)?),
        };
        let models: Vec<&str> = plan.novices.iter().map(|n| n.model).collect();
        observer.event(Event::Started {
            arm: &plan.novices[0].arm,
            seed: plan.seed,
            model: &models.join(" and "),
            epochs: plan.config.epochs,
            steps_per_epoch: usable_batches(&batches, plan.config).div_ceil(plan.config.accumulate),
        });
        let mut keeper = Checkpoints {
            seed: plan.seed,
            folder,
            records: Vec::new(),
        };
        let training = Training {
            pupils,
            lessons: Lessons {
                teachers: plan.teachers.clone(),
                combine: plan.combine,
                mutual: plan.mutual,
                cache,
            },
            seed: plan.seed,
            config: plan.config,
            train: &batches,
            validation: validation.as_ref(),
            device: self.device,
        };
        let trained = train(training, &mut keeper, observer)?;
        Ok((trained, keeper.records))
    }
}

/// Where the best weights of a training are kept in the run folder.
pub(super) fn checkpoint(folder: &Folder, arm: &Arm, seed: u64) -> PathBuf {
    folder.checkpoint(&format!("{}-seed{seed}", arm.file_name()))
}

/// Writes a training's records and best weights into the run folder.
struct Checkpoints<'a> {
    seed: u64,
    folder: &'a mut Folder,
    records: Vec<Record>,
}

impl Keeper<Network> for Checkpoints<'_> {
    fn record(&mut self, record: &Record) -> Result<(), Error> {
        self.records.push(record.clone());
        self.folder.record(record)
    }

    fn keep(&mut self, arm: &Arm, student: &Network) -> Result<PathBuf, Error> {
        let path = checkpoint(self.folder, arm, self.seed);
        student.save(&path, &[])?;
        Ok(path)
    }
}
