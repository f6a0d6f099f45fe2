//! A training under way: its steps, and the end of an epoch.

use std::collections::HashMap;
use std::time::Instant;

use burn::module::Module;
use burn::tensor::Device;
use kd_core::{Step, Taps};
use kd_models::Backbone;

use super::student::StudentInTraining;
use super::{CheckpointSink, Teachers, Validate};
use crate::records::{EpochRecord, Record, StepRecord};
use crate::state::{Place, TrainingState, damaged};
use crate::step::{Examples, StepPlan, step};
use crate::{Batch, Error, Event, LossValues, Observer, Source, TrainConfig};

/// All students of a training, and who they learn from.
pub(super) struct StudentGroup<'a, S: Backbone, T: Module> {
    pub students: Vec<StudentInTraining<S>>,
    pub teachers: Teachers<'a, T>,
}

/// A training under way.
pub(super) struct TrainLoop<'a, S: Backbone, T: Module> {
    pub group: StudentGroup<'a, S, T>,
    pub seed: u64,
    pub config: &'a TrainConfig,
    pub train: &'a dyn Source<Input = S::Input>,
    pub validate: Option<&'a Validate<'a, S>>,
    pub device: &'a Device,
    /// Batches and optimiser steps of an epoch.
    pub batches: usize,
    pub per_epoch: usize,
    /// The place of each sample in the training split.
    pub places: HashMap<usize, usize>,
    /// Where the training stands.
    pub place: Place,
    /// When its state was saved last.
    pub saved: Instant,
}

impl<S, T> TrainLoop<'_, S, T>
where
    S: Backbone,
    T: Backbone<Input = S::Input>,
{
    /// Takes up a training where its state says.
    pub fn go_on(
        &mut self,
        state: TrainingState,
        sink: &mut dyn CheckpointSink<S>,
    ) -> Result<(), Error> {
        let students = std::mem::take(&mut self.group.students);
        if students.len() != state.students.len() {
            return Err(damaged(format!("it has {} students", state.students.len())));
        }
        for (student, state) in students.into_iter().zip(&state.students) {
            let mut student = student.with_state(state)?;
            // What was kept may be of a later epoch, whose end was lost.
            if student.best.epoch > 0 {
                let kept = sink.keep(&student.role, &student.best.student)?;
                student.checkpoint = Some(kept);
            }
            self.group.students.push(student);
        }
        if let (Some(cache), Some(state)) = (&mut self.group.teachers.cache, state.cache) {
            cache.restore(state);
        }
        self.place = state.place;
        Ok(())
    }

    /// Whether no student has improved for as long as the recipe waits.
    pub fn waited_enough(&self) -> bool {
        let ended = self.place.epoch - 1;
        let students = &self.group.students;
        let waits = |p: usize| students.iter().all(|s| ended >= s.best.improved + p);
        self.config.patience.is_some_and(waits)
    }

    /// One epoch, or what is left of it.
    pub fn epoch(
        &mut self,
        sink: &mut dyn CheckpointSink<S>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        if self.place.batches == 0 {
            let cache = self.group.teachers.cache.as_ref();
            self.place.cache_before = cache.map(|cache| cache.stats());
        }
        self.steps(sink, observer)?;
        if let Some(cache) = &mut self.group.teachers.cache {
            cache.commit()?;
        }
        self.end_of_epoch(sink, observer)?;
        self.place.next_epoch();
        self.save(sink)
    }

    /// The optimiser steps of an epoch that are left.
    fn steps(
        &mut self,
        sink: &mut dyn CheckpointSink<S>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let (config, train, device) = (self.config, self.train, self.device);
        let Place { epoch, batches, .. } = self.place;
        let mut stream = train
            .rest_of_epoch(epoch as u64, batches, device)
            .take(self.batches - batches);
        let mut clock = Instant::now();
        let mut logged = (clock, self.place.seen);
        loop {
            let batches: Vec<_> = stream.by_ref().take(config.accumulate).collect();
            if batches.len() < config.accumulate
                && let Some(problem) = train.problem()
            {
                return Err(problem);
            }
            if batches.is_empty() {
                return Ok(());
            }
            let (number, count) = (batches.len(), batches.iter().map(Batch::len).sum::<usize>());
            let index = self.place.step;
            let lr = config.lr.at(index, self.per_epoch, config.epochs);
            let at = Step {
                epoch,
                epochs: config.epochs,
                index,
            };
            let every = config.gradient_norms_every;
            let measure_all = every.is_some_and(|every| index.is_multiple_of(every));
            let plan = StepPlan {
                combine: self.group.teachers.combine,
                mutual: self.group.teachers.mutual,
                measure_all,
                at,
                lr,
                seed: Some(self.seed),
            };
            let losses = self.group.step(batches, &self.places, &plan)?;
            self.place.lr = lr;
            self.place.batches += number;
            self.place.seen += count;
            self.place.step += 1;
            self.place.epoch_seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let last = self.place.step == epoch * self.per_epoch;
            let log = measure_all || last || self.place.step.is_multiple_of(config.log_every);
            let speed =
                (self.place.seen - logged.1) as f64 / logged.0.elapsed().as_secs_f64().max(1e-9);
            for (values, student) in losses.into_iter().zip(&mut self.group.students) {
                student.add(&values, count, &at)?;
                let record = StepRecord {
                    role: student.role.clone(),
                    seed: self.seed,
                    epoch,
                    step: at.index,
                    loss: values.loss,
                    components: values.components,
                    lr,
                    gradient_norm: values.gradient_norm,
                    images_per_second: speed,
                };
                observer.event(Event::Step(&record));
                if log {
                    sink.record(&Record::Step(record))?;
                }
            }
            if log {
                logged = (Instant::now(), self.place.seen);
            }
            let stop = observer.stop();
            if stop || config.checkpoint.due(self.place.step, self.saved.elapsed()) {
                self.save(sink)?;
            }
            if stop {
                return Err(Error::Stopped {
                    epoch,
                    step: self.place.step,
                    checkpoint: self.group.students[0].checkpoint.clone(),
                });
            }
        }
    }

    /// Validates every student, records the epoch, and keeps what is better than before.
    fn end_of_epoch(
        &mut self,
        sink: &mut dyn CheckpointSink<S>,
        observer: &mut dyn Observer,
    ) -> Result<(), Error> {
        let Place {
            epoch,
            step,
            seen,
            epoch_seconds: seconds,
            lr,
            cache_before,
            ..
        } = self.place;
        let asked = self.group.teachers.cache.as_ref().map(|c| c.stats());
        for student in &mut self.group.students {
            let network = student.learner.deployed()?;
            let scores = self.validate.map(|validate| validate(&network));
            let scores = scores.transpose()?;
            let (loss, components) = student.means();
            let validation = scores.iter().flat_map(|scores| &scores.list);
            let record = EpochRecord {
                role: student.role.clone(),
                seed: self.seed,
                epoch,
                step,
                loss,
                components,
                lr,
                seconds,
                images_per_second: seen as f64 / seconds.max(1e-9),
                validation: validation.cloned().collect(),
                cache: asked.zip(cache_before).map(|(now, then)| now.since(&then)),
            };
            observer.event(Event::Epoch(&record));
            sink.record(&Record::Epoch(record))?;
            if student.best.offer(network, epoch, scores) {
                let kept = sink.keep(&student.role, &student.best.student)?;
                student.checkpoint = Some(kept);
            }
        }
        Ok(())
    }

    /// Hands the state to the sink.
    fn save(&mut self, sink: &mut dyn CheckpointSink<S>) -> Result<(), Error> {
        if let Some(cache) = &mut self.group.teachers.cache {
            // The state counts answers that are then on the disk.
            cache.commit()?;
        }
        let (group, place) = (&self.group, &self.place);
        sink.save(&mut || {
            let students = group.students.iter();
            Ok(TrainingState {
                place: place.clone(),
                students: students.map(|s| s.state()).collect::<Result<_, _>>()?,
                cache: group.teachers.cache.as_ref().map(|c| c.state()),
            })
        })?;
        self.saved = Instant::now();
        Ok(())
    }
}

impl<S, T> StudentGroup<'_, S, T>
where
    S: Backbone,
    T: Backbone<Input = S::Input>,
{
    /// One optimiser step of every student over some batches of an epoch.
    fn step(
        &mut self,
        batches: Vec<Batch<S::Input>>,
        places: &HashMap<usize, usize>,
        plan: &StepPlan,
    ) -> Result<Vec<LossValues>, Error> {
        let samples: Vec<Vec<(usize, u64)>> = batches
            .iter()
            .map(|batch| {
                let views = batch.views.iter().copied();
                batch.indices.iter().copied().zip(views).collect()
            })
            .collect();
        let batches = batches.into_iter().map(|batch| Examples {
            places: Some(batch.indices.iter().map(|i| places[i]).collect()),
            ..batch.into()
        });
        let teachers = &mut self.teachers;
        let mut ask = |number: usize, input: S::Input, taps: &Taps| {
            teachers.outputs(input, taps, &samples[number])
        };
        let students = self.students.iter_mut();
        let mut learners: Vec<_> = students.map(|student| &mut student.learner).collect();
        step(&mut learners, &mut ask, batches.collect(), plan)
    }
}
