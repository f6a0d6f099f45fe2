//! The trainings that a recipe asks for, in their order.

use super::{Recipe, StageSpec, TEACHER, TrainConfig};
use crate::Arm;

/// A training that every seed of a run goes through: of a stage's network and its peers.
#[derive(Clone, Debug, PartialEq)]
pub struct PlannedTraining<'a> {
    /// The stage's network.
    pub arm: Arm,
    /// Networks, and who they learn from.
    pub stage: &'a StageSpec,
    /// Its budget.
    pub train: &'a TrainConfig,
    /// Names of the teachers that are asked: `teacher`, and stages. Nobody is asked in vain.
    pub teachers: Vec<String>,
    /// Whether it is on labels alone although the stage learns from more: what distillation is compared
    /// with.
    pub alone: bool,
    /// Whether the cache of the recipe's teacher answers for it.
    pub cached: bool,
}

impl<'a> PlannedTraining<'a> {
    /// Names in the registry of all networks that it trains.
    pub fn models(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let StageSpec { model, peers, .. } = self.stage;
        [model].into_iter().chain(peers).map(String::as_str)
    }
}

impl Recipe {
    /// The trainings of each seed: the stages, the student alone, and the student. The teacher's own, when
    /// it has no weights, comes before all of them and once.
    pub fn trainings(&self) -> Vec<PlannedTraining<'_>> {
        let stages = self.order().into_iter().map(|name| {
            let stage = &self.stages[&name];
            self.planned(Arm::Stage(name), stage)
        });
        let mut trainings: Vec<_> = stages.collect();
        if self.compare && self.distils() {
            trainings.push(PlannedTraining {
                teachers: Vec::new(),
                alone: true,
                cached: false,
                ..self.planned(Arm::Alone, &self.student)
            });
        }
        let last = match self.distils() {
            true => Arm::Distilled,
            false => Arm::Alone,
        };
        trainings.push(self.planned(last, &self.student));
        trainings
    }

    fn planned<'a>(&'a self, arm: Arm, stage: &'a StageSpec) -> PlannedTraining<'a> {
        let teachers = match self.objective_of(stage).needs_teacher() {
            true => self.teachers_of(stage),
            false => Vec::new(),
        };
        let kept = self.teacher.as_ref().is_some_and(|t| t.cache.is_some());
        PlannedTraining {
            arm,
            stage,
            train: self.train_of(stage),
            // What others say, of the same batch, is new in every step.
            cached: kept && !stage.mutual && teachers == [TEACHER],
            teachers,
            alone: false,
        }
    }

    /// The network's name in the registry, of a teacher by its name.
    pub fn model_of(&self, name: &str) -> Option<&str> {
        match (name, &self.teacher) {
            (TEACHER, Some(teacher)) => Some(&teacher.model),
            _ => self.stages.get(name).map(|stage| stage.model.as_str()),
        }
    }
}

impl TrainConfig {
    /// How often a training shows each of so many images, on average.
    pub fn showings(&self, images: usize) -> f64 {
        let share = match self.batches_per_epoch {
            Some(batches) => (batches * self.batch) as f64 / images.max(1) as f64,
            None => 1.0,
        };
        self.epochs as f64 * share.min(1.0)
    }
}
