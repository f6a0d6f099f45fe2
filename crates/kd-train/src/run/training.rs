//! One training of a run: done now, or taken from an earlier run that did the same.

use std::num::NonZeroU64;
use std::path::PathBuf;

use burn::module::Module;
use kd_core::draw;
use kd_kernels::PreparedWeights;
use serde_json::{Value, json};

use super::RunContext;
use super::continuation::{Continuation, goes_on};
use super::finished::{Finished, Store};
use super::sharing::UntilLost;
use super::started::Started;
use super::trained::{Done, Origin, TrainedNetwork, checkpoint, file_name};
use crate::cache::{TeacherCache, identity};
use crate::check::{DryRun, dry_run};
use crate::folder::Folder;
use crate::recipe::{Start, TrainingPlan};
use crate::records::Record;
use crate::source::with_all_of;
use crate::state::{Saved, StateFiles, TrainingState};
use crate::task::{Task, TrainSource};
use crate::train::{CheckpointSink, Student, Teachers, Trained, Training, train, usable_batches};
use crate::{CheckpointConfig, Error, Event, Observer, Role, Scores, TrainConfig};

/// One training with its seed and the networks that it needs.
struct Job<'a, N> {
    plan: &'a TrainingPlan,
    seed: u64,
    /// The students before their training.
    students: Vec<N>,
    teachers: Vec<&'a N>,
    /// Views of a sample that are shown; none for all.
    views: Option<NonZeroU64>,
}

/// Networks after their training, with its records.
type TrainedNow<N> = (Vec<Trained<N>>, Vec<Record>);

impl<T: Task> RunContext<'_, T> {
    /// Trains what a plan says, unless an earlier run finished the same. `done` are the teacher and the
    /// finished stages.
    pub(super) fn train(
        &self,
        plan: &TrainingPlan,
        seed: u64,
        done: &Done<T::Network>,
        cache: Option<&mut TeacherCache>,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<Vec<TrainedNetwork<T::Network>>, Error> {
        // All trainings of a seed start from the same student and see the same samples.
        draw::seed(seed);
        // For a network whose values burn's own initialisers draw.
        self.device.seed(seed);
        let students = plan
            .students
            .iter()
            .map(|student| self.started(&student.start, &student.model, (plan, seed), done))
            .collect::<Result<Vec<_>, Error>>()?;
        if !plan.work.is_train() {
            let changed = plan.students.iter().zip(students);
            return changed
                .map(|(student, started)| self.changed(student, started, seed, folder, observer))
                .collect();
        }
        let origins: Vec<Origin<_>> = students.iter().map(Started::origin).collect();
        let with_origins = |mut networks: Vec<TrainedNetwork<_>>| {
            for (network, origin) in networks.iter_mut().zip(origins) {
                network.origin = origin;
            }
            networks
        };
        let job = Job {
            plan,
            seed,
            students: students
                .into_iter()
                .map(|started| started.network)
                .collect(),
            teachers: plan.teachers.iter().map(|name| &done[name]).collect(),
            // Its own training shows a teacher all views.
            views: self
                .bounded_views()
                .filter(|_| *plan.role() != Role::Teacher),
        };
        let inputs = self.inputs(&job, cache.is_some());
        let states = StateFiles::new(folder.state(&file_name(plan.role(), seed)));
        let mut here = Continuation::read(Store::name(&inputs)?, states, folder, observer);
        let mut cache = cache;
        let own = here.done.is_some();
        let find =
            |observer: &mut dyn Observer| self.store.find(&inputs, own, plan, seed, self, observer);
        // What is left of an own training is gone on with, unless others share it.
        let shared = self.store.is_shared();
        let mut found = match &here.left {
            Some(_) if !shared => None,
            _ => find(observer)?,
        };
        let mut held = None;
        if found.is_none() {
            held = self.store.claim(&here.training)?;
            // Its holder before may have finished it since.
            if held.is_some() {
                found = find(observer)?;
            }
        }
        if let Some(finished) = found {
            let left = here.left.as_ref().map_or(0, |(_, records)| records.len());
            let networks = finished.replay(self.task, folder, left)?;
            let then = here.done.as_ref().and_then(|done| done.cache);
            if let (Some(cache), Some(then)) = (&mut cache, then) {
                cache.restore(then);
            }
            here.finish(folder, cache.as_deref())?;
            return Ok(with_origins(networks));
        }
        let mut until_lost = UntilLost {
            observer: &mut *observer,
            held: held.as_ref(),
        };
        let trained = self.train_now(
            job,
            cache.as_deref_mut(),
            &mut here,
            folder,
            &mut until_lost,
        );
        let (trained, records) = match (trained, &held) {
            (Err(Error::Stopped { .. }), Some(held)) if held.lost() => {
                return Err(Error::taken_over());
            }
            (trained, _) => trained?,
        };
        let finished = Finished::new(plan, seed, trained, records);
        let keep = || self.store.keep(&inputs, &finished, plan, seed, self);
        if let Some(held) = held {
            // Others wait for it, so it must be there.
            held.finish(keep)?;
            here.finish(folder, cache.as_deref())?;
            return Ok(with_origins(finished.networks));
        }
        match keep() {
            Ok(()) => here.finish(folder, cache.as_deref())?,
            // Its last state stays, from which an interrupted run has it at once.
            Err(problem) => observer.event(Event::Note(&format!(
                "this training cannot be kept for later runs: {problem}"
            ))),
        }
        Ok(with_origins(finished.networks))
    }

    /// All that the result of a training depends on.
    fn inputs(&self, job: &Job<T::Network>, cached: bool) -> Value {
        let plan = job.plan;
        let students = plan.students.iter().zip(&job.students);
        let students = students.map(|(student, network)| {
            let start = match student.start {
                // The seed says it.
                Start::Fresh => "drawn from the seed".into(),
                _ => identity::hash(&network.valid()),
            };
            let mut input =
                json!({"model": self.task.name(network, &student.model), "start": start});
            // Its grids follow from that, the data and the seed.
            if let Start::Quantised(_, quantise) = &student.start {
                input["quantise"] = json!(quantise);
            }
            input
        });
        let students: Vec<Value> = students.collect();
        let teachers = plan.teachers.iter().zip(&job.teachers);
        let teachers = teachers.map(|(name, network)| {
            let model = self.recipe.model_of(name).unwrap_or(name);
            let mut input =
                json!({"model": self.task.name(network, model), "weights": identity::hash(*network)});
            if let Some(normalize) = self.recipe.normalize_of(name) {
                input["normalize"] = json!(normalize);
            }
            if let Some(size) = self.recipe.size_of(name) {
                input["size"] = json!(size);
            }
            input
        });
        let teachers: Vec<Value> = teachers.collect();
        let kernels =
            kd_kernels::mode().map_or_else(|bad| bad.to_string(), |mode| mode.to_string());
        let kept = self.cache_config();
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "device": self.store.device(),
            "kernels": kernels,
            "seed": job.seed,
            "data": self.task.dependencies(),
            "views": job.views.map(|count| (count, self.recipe.seed)),
            "networks": students,
            "teachers": teachers,
            "combine": plan.combine,
            "mutual": plan.mutual,
            "select": plan.select,
            // Where answers are kept changes nothing, how they are does.
            "cache": kept.filter(|_| cached).map(|c| (c.precision, c.top_k)),
            "objective": plan.objective,
            "train": TrainConfig {
                // When states are saved changes nothing.
                checkpoint: CheckpointConfig::default(),
                ..plan.train.clone()
            },
        })
    }

    fn train_now(
        &self,
        job: Job<T::Network>,
        cache: Option<&mut TeacherCache>,
        here: &mut Continuation,
        folder: &mut Folder,
        observer: &mut dyn Observer,
    ) -> Result<TrainedNow<T::Network>, Error> {
        let Job {
            plan,
            seed,
            students,
            teachers,
            views,
        } = job;
        let show = |network: &T::Network| dry_run(self.task, network, self.device);
        let shown = DryRun {
            students: students.iter().map(|n| show(&n.valid())).collect(),
            teachers: teachers.iter().map(|t| show(t)).collect(),
        };
        let objectives = shown.objectives(plan, self.task, self.device)?;
        let students = students.into_iter().zip(objectives).zip(&plan.students);
        let students = students.map(|((network, objective), planned)| Student {
            role: planned.role.clone(),
            network,
            objective,
        });
        let source = self.task.train(&TrainSource {
            seed,
            batch: plan.train.batch,
            views: views.map(|count| (count, self.recipe.seed)),
        })?;
        let validation = if plan.select {
            self.task.validation(plan.train.batch)?
        } else {
            None
        };
        let validate = validation.as_ref().map(|source| {
            move |network: &T::Network| -> Result<Scores, Error> {
                let found = self.task.evaluate(network, source.as_ref(), self.device);
                with_all_of(source.as_ref(), found.scores)
            }
        });
        let steps = usable_batches(source.as_ref(), &plan.train);
        observer.event(Event::Started {
            role: plan.role(),
            seed,
            model: &plan.models().collect::<Vec<_>>().join(" and "),
            epochs: plan.train.epochs,
            steps_per_epoch: steps.div_ceil(plan.train.accumulate),
        });
        let (state, records) = here.left.take().unzip();
        if let Some(state) = &state {
            observer.event(Event::Note(&goes_on(state, plan.train.epochs)));
        }
        let mut sink = Checkpoints {
            task: self.task,
            seed,
            folder,
            here,
            records: records.unwrap_or_default(),
        };
        let training = Training {
            students: students.collect(),
            teachers: Teachers {
                networks: teachers,
                combine: plan.combine,
                mutual: plan.mutual,
                cache,
                prepared: PreparedWeights::new(),
            },
            seed,
            config: &plan.train,
            train: source.as_ref(),
            validate: validate
                .as_ref()
                .map(|f| f as &dyn Fn(&T::Network) -> Result<Scores, Error>),
            device: self.device,
            state,
        };
        let trained = train(training, &mut sink, observer)?;
        Ok((trained, sink.records))
    }
}

/// Writes a training's records, best weights and states into the run folder.
struct Checkpoints<'a, T> {
    task: &'a T,
    seed: u64,
    folder: &'a mut Folder,
    here: &'a Continuation,
    records: Vec<Record>,
}

impl<T: Task> CheckpointSink<T::Network> for Checkpoints<'_, T> {
    fn record(&mut self, record: &Record) -> Result<(), Error> {
        self.records.push(record.clone());
        self.folder.record(record)
    }

    fn keep(&mut self, role: &Role, student: &T::Network) -> Result<PathBuf, Error> {
        let path = checkpoint(self.folder, role, self.seed);
        self.task.save(student, &path, &[])?;
        Ok(path)
    }

    fn save(
        &mut self,
        state: &mut dyn FnMut() -> Result<TrainingState, Error>,
    ) -> Result<(), Error> {
        // The state counts records that are then on the disk.
        self.folder.sync()?;
        self.here.states.write(&Saved {
            training: self.here.training.clone(),
            records: self.records.len(),
            state: state()?,
        })
    }
}
