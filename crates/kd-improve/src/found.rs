//! What the procedure found: `improve.json`.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Budget, Decision};

/// What was checked, found, tried and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Improved {
    /// Name of the recipe.
    pub name: String,
    /// All that its results depend on: with other ones it is another procedure.
    pub inputs: Value,
    /// Names and values of what a reader wants to know.
    pub facts: Vec<(String, String)>,
    /// The score that steps are compared by, with its unit.
    pub score: String,
    /// What differences of it are counted in.
    pub unit: String,
    /// Seeds of every comparison.
    pub seeds: usize,
    /// Validation images.
    pub images: usize,
    /// What might be spent.
    pub budget: Budget,
    /// What was.
    pub spent: Spent,
    /// Validation scores of the student alone, a value a seed.
    pub alone: Vec<f64>,
    /// Those of the recipe as it is given.
    pub given: Vec<f64>,
    /// How much better the recipe as it is given is than the student alone, as a comparison.
    pub distilled: Option<Tested>,
    /// The checks of the first step.
    pub checks: Vec<Check>,
    /// Problems and notices of the diagnosis, each a title and a sentence; problems first.
    pub findings: Vec<Check>,
    /// Steps in their order.
    pub steps: Vec<Step>,
    /// Whether the baseline was not sound, so that nothing was tried.
    pub stopped: bool,
    /// What the best recipe changes in the given one.
    pub changes: Vec<String>,
    /// The test split, read once; none before the end.
    pub test: Option<TestSplit>,
    /// Files beside the page, each a title and a path relative to it.
    pub links: Vec<(String, String)>,
}

/// What was spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Spent {
    /// Trainings of the recipe's length.
    pub trainings: f64,
    /// Seconds, without what was lost to interruptions.
    pub seconds: f64,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name.
    pub title: String,
    /// Whether something should be done about it.
    pub bad: bool,
    /// What was found, in a sentence.
    pub sentence: String,
}

/// A step of the ladder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Its name in files, such as `features`.
    pub key: String,
    /// Its name for people.
    pub title: String,
    /// Why it was taken, in a sentence; empty where it was not.
    pub reason: String,
    /// What was looked at with a seed of its own.
    pub candidates: Vec<Candidate>,
    /// What became of it.
    pub outcome: Outcome,
}

/// Changes that were looked at with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The changes, as `--set` spells them.
    pub changes: Vec<String>,
    /// Its validation score; none where it was not trained or came to no number.
    pub score: Option<f64>,
    /// Why it has no score, or how far it was trained.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What became of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was not taken, and why.
    Skipped(String),
    /// Its changes were compared with the recipe so far.
    Tested(Tested),
    /// Its changes could not be trained, and why.
    Failed(String),
}

/// A comparison seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tested {
    /// The changes, as `--set` spells them.
    pub changes: Vec<String>,
    /// Validation scores with the changes, a value a seed.
    pub new: Vec<f64>,
    /// Those of the recipe so far, with the same seeds.
    pub old: Vec<f64>,
    /// How much better the new ones are, a value a seed.
    pub gains: Vec<f64>,
    /// Half the 95 % interval of their mean; none for one seed.
    pub half: Option<f64>,
    /// Seeds that were planned.
    pub planned: usize,
    /// What became of the changes.
    pub decision: Decision,
}

impl Tested {
    /// The mean gain.
    pub fn mean(&self) -> f64 {
        mean(&self.gains)
    }
}

/// Scores on the test split, a value a seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSplit {
    /// Test images.
    pub images: usize,
    /// The teacher.
    pub teacher: Option<f64>,
    /// The student alone.
    pub alone: Vec<f64>,
    /// The recipe as it is given.
    pub given: Vec<f64>,
    /// The best recipe; empty where that is the given one.
    pub best: Vec<f64>,
    /// Mean gain of the best over the given recipe, and half its 95 % interval over seeds.
    pub gain: Option<(f64, Option<f64>)>,
    /// Whether seeds and test images show that gain.
    pub shown: bool,
    /// What they show, in a sentence or two.
    pub sentence: String,
}

impl TestSplit {
    /// Every network that was measured, by name, with its value of each seed.
    pub(crate) fn rows(&self) -> Vec<(&'static str, &[f64])> {
        let all = [
            ("teacher", self.teacher.as_slice()),
            ("student alone", &self.alone),
            ("the recipe as it is", &self.given),
            ("the best recipe", &self.best),
        ];
        let measured = all.into_iter().filter(|(_, values)| !values.is_empty());
        measured.collect()
    }
}

impl Improved {
    /// Comparisons that might have kept a change.
    pub fn comparisons(&self) -> usize {
        let tested = self
            .steps
            .iter()
            .filter(|s| matches!(s.outcome, Outcome::Tested(_)));
        tested.count()
    }

    /// Steps whose change was kept.
    pub fn kept(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| {
            matches!(&step.outcome, Outcome::Tested(tested) if tested.decision == Decision::Kept)
        })
    }
}

/// Of at least one value.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
