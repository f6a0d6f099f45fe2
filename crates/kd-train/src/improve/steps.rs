//! A step: of its candidates one is chosen, compared seed by seed, and kept or not.

use std::ops::Range;
use std::path::PathBuf;

use kd_improve::{Candidate, Decision, Outcome, Room, Step, Tested, decide, futile};

use super::run::{ImproveObserver, Procedure};
use super::trainer::{Trained, gains, is_better, values};
use crate::stats::Spread;
use crate::task::Task;
use crate::{Error, Recipe, Score};

/// A step that may be taken.
pub(super) struct Proposed {
    pub key: &'static str,
    pub title: &'static str,
    pub reason: String,
    /// Trainings that one of its students needs.
    pub cost: f64,
}

impl Proposed {
    pub fn step(self, candidates: Vec<Candidate>, outcome: Outcome) -> Step {
        Step {
            key: self.key.into(),
            title: self.title.into(),
            reason: self.reason,
            candidates,
            outcome,
        }
    }
}

/// A comparison of scores of equal seeds.
pub(super) fn tested(
    changes: &[String],
    new: &[Score],
    old: &[Score],
    planned: usize,
    grain: f64,
) -> Tested {
    let gains = gains(new, old);
    let half = Spread::of(&gains).uncertainty(grain);
    Tested {
        changes: changes.into(),
        new: values(new),
        old: values(&old[..new.len().min(old.len())]),
        decision: decide(&gains, half, planned),
        gains,
        half,
        planned,
    }
}

impl Procedure<'_> {
    /// Seeds of comparisons.
    pub fn seeds(&self) -> Range<u64> {
        self.seed..self.seed + self.options.seeds as u64
    }

    /// The seed that chooses between candidates: none of those that compare, so that choosing does not flatter.
    pub fn chooser(&self) -> u64 {
        self.seed + self.options.seeds as u64
    }

    pub fn task_classes(&self) -> usize {
        self.task.summary().classes.len()
    }

    /// The recipe so far with more changes.
    pub fn recipe(
        &self,
        changes: &[String],
        observer: &mut dyn ImproveObserver,
    ) -> Result<Recipe, Error> {
        let all = [&self.changes, changes].concat();
        self.trainer.recipe(&self.found.name, &all, observer)
    }

    /// Trains the recipe so far with more changes, and the student alone beside it where it is asked for.
    pub fn train(
        &mut self,
        told: &str,
        changes: &[String],
        alone: bool,
        seed: u64,
        observer: &mut dyn ImproveObserver,
    ) -> Result<Trained, Error> {
        let all = [&self.changes, changes, &[format!("compare={alone}")]].concat();
        self.trainer.train(told, &all, seed, observer)
    }

    pub fn skip(&mut self, key: &'static str, title: &'static str, why: String) {
        let proposed = Proposed {
            key,
            title,
            reason: String::new(),
            cost: 1.0,
        };
        self.step(proposed.step(Vec::new(), Outcome::Skipped(why)));
    }

    /// Looks at candidates with a seed of its own, and compares the best seed by seed. Says whether it was kept.
    pub fn try_out(
        &mut self,
        proposed: Proposed,
        wanted: Vec<Vec<String>>,
        observer: &mut dyn ImproveObserver,
    ) -> Result<bool, Error> {
        let (mut able, mut looked_at) = (Vec::new(), Vec::new());
        for changes in wanted {
            match self.problem_of(&changes, observer) {
                None => able.push(changes),
                Some(problem) => looked_at.push(Candidate {
                    changes,
                    score: None,
                    note: problem,
                }),
            }
        }
        let (cost, confirm) = (proposed.cost, proposed.cost * self.options.seeds as f64);
        self.trainer.clock();
        let count = match self.trainer.ledger.room(able.len(), cost, confirm) {
            Room::Candidates(count) => count,
            Room::None(why) => {
                self.step(proposed.step(looked_at, Outcome::Skipped(why)));
                return Ok(false);
            }
        };
        able.truncate(count);
        let mut best: Option<(Score, Vec<String>)> = None;
        match able.len() {
            1 => {
                let changes = able.remove(0);
                let outcome = self.compare(proposed.title, &changes, cost, observer)?;
                return Ok(self.conclude(proposed, looked_at, changes, outcome));
            }
            _ => {
                for changes in able {
                    let told = format!(
                        "{}, candidate {}",
                        proposed.title.to_lowercase(),
                        changes.join(", ")
                    );
                    let trained = self.train(&told, &changes, false, self.chooser(), observer)?;
                    looked_at.push(Candidate {
                        changes: changes.clone(),
                        score: trained.score.as_ref().map(|s| s.value),
                        note: trained.problem.unwrap_or_default(),
                    });
                    if let Some(score) = trained.score
                        && best
                            .as_ref()
                            .is_none_or(|(known, _)| is_better(&score, known))
                    {
                        best = Some((score, changes));
                    }
                }
            }
        }
        let Some((_, changes)) = best else {
            let why = "the loss of every candidate came to no number".to_owned();
            self.step(proposed.step(looked_at, Outcome::Failed(why)));
            return Ok(false);
        };
        let outcome = self.compare(proposed.title, &changes, cost, observer)?;
        Ok(self.conclude(proposed, looked_at, changes, outcome))
    }

    /// What is wrong with changes, found without training.
    fn problem_of(&self, changes: &[String], observer: &mut dyn ImproveObserver) -> Option<String> {
        let recipe = self.recipe(changes, observer);
        let checked = recipe.and_then(|recipe| crate::check(&recipe, &self.task, self.device));
        checked.err().map(|problem| problem.to_string())
    }

    /// Trains changes with every seed, unless it is clear early that they give nothing.
    pub fn compare(
        &mut self,
        title: &str,
        changes: &[String],
        cost: f64,
        observer: &mut dyn ImproveObserver,
    ) -> Result<Compared, Error> {
        let (mut scores, mut folder) = (Vec::new(), None);
        for seed in self.seeds() {
            self.trainer.clock();
            if self.trainer.ledger.is_over(cost) || futile(&gains(&scores, &self.scores)) {
                break;
            }
            let told = format!("{} compared", title.to_lowercase());
            let trained = self.train(&told, changes, false, seed, observer)?;
            let Some(score) = trained.score else {
                let problem = trained.problem.unwrap_or_default();
                return Ok(Err(format!("with seed {seed} {problem}")));
            };
            scores.push(score);
            folder.get_or_insert(trained.folder);
        }
        let tested = tested(
            changes,
            &scores,
            &self.scores,
            self.options.seeds,
            self.grain(),
        );
        Ok(Ok((tested, scores, folder)))
    }

    /// Writes down what became of a step, and takes what it kept into the recipe.
    pub fn conclude(
        &mut self,
        proposed: Proposed,
        candidates: Vec<Candidate>,
        changes: Vec<String>,
        compared: Compared,
    ) -> bool {
        let (outcome, kept) = match compared {
            Err(problem) => (Outcome::Failed(problem), false),
            Ok((tested, scores, folder)) => {
                let kept = tested.decision == Decision::Kept;
                if let (true, Some(folder)) = (kept, folder) {
                    self.changes.extend(changes);
                    self.scores = scores;
                    self.folder = folder;
                }
                (Outcome::Tested(tested), kept)
            }
        };
        self.step(proposed.step(candidates, outcome));
        kept
    }
}

/// A comparison with the scores of its seeds and the folder of the first, or why there is none.
pub(super) type Compared = Result<(Tested, Vec<Score>, Option<PathBuf>), String>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Better, Unit};

    #[test]
    fn a_comparison_of_fewer_seeds_takes_the_scores_of_these() {
        let scores = |values: &[f64]| -> Vec<Score> {
            let score = |value: &f64| Score {
                key: "top1".into(),
                title: "top-1".into(),
                unit: Unit::Percent,
                better: Better::Higher,
                value: *value,
            };
            values.iter().map(score).collect()
        };
        let found = tested(
            &[],
            &scores(&[79.0, 80.0]),
            &scores(&[80.0, 80.5, 81.0]),
            3,
            0.1,
        );
        assert_eq!(found.decision, Decision::Stopped);
        assert_eq!(
            (found.gains.as_slice(), found.old.len()),
            (&[-1.0, -0.5][..], 2)
        );
        let none = tested(&[], &[], &scores(&[80.0]), 3, 0.1);
        assert_eq!((none.decision, none.half), (Decision::Unfinished, None));
    }
}
