//! What is known of the teachers of a run before a student learns from them.

use std::collections::{BTreeMap, BTreeSet};

use super::RunContext;
use super::evaluate::Measured;
use super::trained::TrainedNetwork;
use crate::recipe::{TEACHER, TrainingPlan};
use crate::source::with_all_of;
use crate::task::{Evaluated, Task};
use crate::teacher_check::TeacherScore;
use crate::{Error, Event, Observer, Role, Score};

/// The validation scores of teachers, and of the student alone.
#[derive(Default)]
pub(super) struct KnownScores {
    of: BTreeMap<String, Known>,
    alone: Option<f64>,
    /// Teachers that were warned of: another seed does not repeat it.
    told: BTreeSet<String>,
}

struct Known {
    score: Score,
    loaded: bool,
    split: &'static str,
}

impl KnownScores {
    /// Notes what validation said of a network.
    pub fn note<N>(&mut self, trained: &TrainedNetwork<N>) {
        let Some(score) = trained.validation.clone() else {
            return;
        };
        match &trained.role {
            Role::Stage(name) => self.learn(name, score, false, "validation"),
            Role::Baseline => self.alone = Some(score.value),
            _ => {}
        }
    }

    fn learn(&mut self, name: &str, score: Score, loaded: bool, split: &'static str) {
        let known = Known {
            score,
            loaded,
            split,
        };
        self.of.insert(name.into(), known);
    }
}

impl<T: Task> RunContext<'_, T> {
    /// Measures the recipe's teacher on the validation split, unless its training did, and says what it has.
    /// Without a validation split it is measured on the test split, and not again at the end of the run. What an earlier
    /// run measured (`kept`) is not measured again.
    pub(super) fn know_teacher(
        &self,
        teacher: &mut TrainedNetwork<T::Network>,
        kept: Option<&Measured>,
        known: &mut KnownScores,
        observer: &mut dyn Observer,
    ) -> Result<Option<Evaluated>, Error> {
        let loaded = teacher.seed.is_none();
        let batch = self.recipe.train.batch;
        let mut tested = None;
        if let Some(kept) = kept {
            teacher.validation.clone_from(&kept.summary.validation);
        }
        let (score, split) = match &teacher.validation {
            None if kept.is_some() => {
                let first = kept.and_then(|kept| kept.summary.test.first().cloned());
                (first, "test")
            }
            Some(score) => (Some(score.clone()), "validation"),
            None => {
                let (role, seed) = (&teacher.role, teacher.seed);
                observer.event(Event::Measuring { role, seed });
                let network = &teacher.network;
                if let Some(source) = self.task.validation(batch)? {
                    let found = self.task.evaluate(network, source.as_ref(), self.device);
                    let found = with_all_of(source.as_ref(), found)?;
                    teacher.validation = found.scores.first().cloned();
                    (teacher.validation.clone(), "validation")
                } else {
                    let source = self.task.test(batch)?;
                    let found = self.task.evaluate(network, source.as_ref(), self.device);
                    let found = with_all_of(source.as_ref(), found)?;
                    let score = found.scores.first().cloned();
                    tested = Some(found);
                    (score, "test")
                }
            }
        };
        if let Some(score) = score {
            known.learn(TEACHER, score, loaded, split);
            if let Some(teacher) = self.teacher_score(TEACHER, known) {
                observer.event(Event::Note(&teacher.has()));
            }
            self.warn_of(TEACHER, known, observer);
        }
        Ok(tested)
    }

    /// Warns of the teachers of a training that is about to begin.
    pub(super) fn warn_of_teachers(
        &self,
        plan: &TrainingPlan,
        known: &mut KnownScores,
        observer: &mut dyn Observer,
    ) {
        for name in &plan.teachers {
            self.warn_of(name, known, observer);
        }
    }

    fn warn_of(&self, name: &str, known: &mut KnownScores, observer: &mut dyn Observer) {
        let Some(teacher) = self.teacher_score(name, known) else {
            return;
        };
        // The student alone is measured on the validation split.
        let alone = known.alone.filter(|_| teacher.split == "validation");
        let problem = teacher.near_chance().or_else(|| teacher.below(alone?));
        if let Some(problem) = problem
            && known.told.insert(name.into())
        {
            observer.event(Event::Note(&format!("warning: {problem}")));
        }
    }

    fn teacher_score<'k>(&self, name: &str, known: &'k KnownScores) -> Option<TeacherScore<'k>> {
        let Known {
            score,
            loaded,
            split,
        } = known.of.get(name)?;
        let data = self.task.summary();
        Some(TeacherScore {
            name: match name {
                TEACHER => Role::Teacher.title(),
                name => Role::Stage(name.into()).title(),
            },
            loaded: *loaded,
            score,
            split,
            images: match *split {
                "test" => data.test,
                _ => data.validation,
            },
            classes: data.classes.len(),
        })
    }
}
