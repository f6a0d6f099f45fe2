//! Networks before their training: drawn, read, taken from a stage, and without channels or on integer grids.

use burn::module::Module;

use super::RunContext;
use super::trained::{Done, Origin, TrainedNetwork, checkpoint};
use crate::folder::Folder;
use crate::recipe::{Start, StudentPlan, TEACHER, TrainingPlan};
use crate::report::words::count;
use crate::summary::NetworkChange;
use crate::task::{Task, TrainSource};
use crate::{Error, Event, Observer, weights};

/// A network before its training.
pub(super) struct Started<N> {
    pub network: N,
    made_of: Option<String>,
    /// What was changed in it, with the network before the next change.
    changed: Vec<(NetworkChange, N)>,
    last: Option<NetworkChange>,
}

impl<N: Module> Started<N> {
    fn new(network: N) -> Self {
        Self {
            network,
            made_of: None,
            changed: Vec::new(),
            last: None,
        }
    }

    /// Another network, after a change of this one.
    fn then(mut self, change: NetworkChange, network: N) -> Self {
        if let Some(last) = self.last.replace(change) {
            self.changed.push((last, self.network.valid()));
        }
        Self { network, ..self }
    }

    /// What it was before its training.
    pub fn origin(&self) -> Origin<N> {
        let last = self.last.map(|last| (last, self.network.valid()));
        Origin {
            made_of: self.made_of.clone(),
            changed: self.changed.iter().cloned().chain(last).collect(),
        }
    }
}

impl<T: Task> RunContext<'_, T> {
    /// A network before its training.
    pub(super) fn started(
        &self,
        start: &Start,
        model: &str,
        (plan, seed): (&TrainingPlan, u64),
        done: &Done<T::Network>,
    ) -> Result<Started<T::Network>, Error> {
        let autodiff = self.device.clone().autodiff();
        Ok(match start {
            Start::Fresh => Started::new(self.task.build(model, &autodiff)?),
            Start::Layers(layers) => {
                let drawn = self.task.build(model, &autodiff)?;
                let filled = self.task.with_layers_of(drawn, &done[TEACHER], layers);
                Started::new(filled?)
            }
            Start::File {
                path,
                prefix,
                classifier,
            } => {
                let file = (path.as_path(), prefix.as_deref());
                let read = weights::load(self.task, model, file, classifier, &autodiff);
                Started::new(read?)
            }
            Start::Stage(name) => Started {
                made_of: Some(name.clone()),
                // A validation copy has running statistics of its own.
                ..Started::new(done[name].valid().train())
            },
            Start::Pruned(start, prune) => {
                let whole = self.started(start, model, (plan, seed), done)?;
                let cut = self.task.pruned(whole.network.clone(), prune)?;
                let cut = whole.then(NetworkChange::ChannelsRemoved, cut);
                if prune.images == 0 {
                    return Ok(cut);
                }
                let images = self.first_batches(prune.images, plan, seed)?;
                let renewed = self.task.recalibrated(&cut.network, images)?;
                cut.then(NetworkChange::StatisticsRenewed, renewed)
            }
            Start::Quantised(start, quantise) => {
                let float = self.started(start, model, (plan, seed), done)?;
                let images = self.first_batches(quantise.images, plan, seed)?;
                let coarse = self
                    .task
                    .quantised(float.network.clone(), quantise, images)?;
                float.then(NetworkChange::OnGrids, coarse)
            }
        })
    }

    /// The training batches that hold the first so many samples.
    fn first_batches(
        &self,
        samples: usize,
        plan: &TrainingPlan,
        seed: u64,
    ) -> Result<Vec<T::Input>, Error> {
        let batch = plan.train.batch;
        let source = self.task.train(&TrainSource {
            seed,
            batch,
            views: None,
        })?;
        let batches = source.epoch(1, self.device);
        let batches = batches.take(samples.div_ceil(batch));
        Ok(batches.map(|batch| batch.input).collect())
    }

    /// What a stage makes that trains nothing.
    pub(super) fn changed(
        &self,
        student: &StudentPlan,
        started: Started<T::Network>,
        seed: u64,
        folder: &Folder,
        observer: &mut dyn Observer,
    ) -> Result<TrainedNetwork<T::Network>, Error> {
        let network = started.network.valid();
        let cost = self.task.cost(&network)?;
        let macs = cost.macs.map_or(String::new(), |macs| {
            format!(", {} multiply-accumulates", count(macs))
        });
        observer.event(Event::Note(&format!(
            "{}, seed {seed}: {} parameters{macs}; trains nothing",
            student.role.title(),
            count(cost.parameters)
        )));
        let path = checkpoint(folder, &student.role, seed);
        self.task.save(&network, &path, &[])?;
        Ok(TrainedNetwork {
            role: student.role.clone(),
            seed: Some(seed),
            model: student.model.clone(),
            network,
            adapter_parameters: 0,
            learned_from: Vec::new(),
            training: None,
            validation: None,
            origin: Origin {
                made_of: started.made_of,
                changed: started.changed,
            },
        })
    }
}
