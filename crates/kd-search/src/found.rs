//! What a search found: `search.json`.

use serde::{Deserialize, Serialize};

use crate::results::{importance, pareto_front};
use crate::space::{Point, Space};

/// Trials of a search with their scores. Nothing in it was measured on a test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Name of the search.
    pub name: String,
    /// All that its results depend on: a search with other ones is another search.
    pub inputs: serde_json::Value,
    /// Names and values of what a reader wants to know.
    pub facts: Vec<(String, String)>,
    /// What may vary.
    pub space: Space,
    /// The score that trials are compared by, with its unit; empty before the first.
    pub score: String,
    /// Whether lower ones are better.
    pub lower: bool,
    /// Epochs at which trials are compared; empty where each trains to its end.
    pub rungs: Vec<usize>,
    /// What beside the score makes a trial good, lower ones better.
    pub costs: Vec<String>,
    /// In the order in which they began.
    pub trials: Vec<Trial>,
    /// The command that trains the best recipe, and measures it.
    pub command: String,
}

/// Settings, and how far a student came with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Its place, from 1.
    pub number: usize,
    /// The values of its parameters.
    pub point: Point,
    /// The same as `key=value`.
    pub changes: Vec<String>,
    /// An earlier trial of the same settings, whose trainings are its own.
    pub same_as: Option<usize>,
    /// The validation score after every epoch, a list a seed.
    pub curves: Vec<Vec<f64>>,
    /// Its cost by each of [`Found::costs`]; empty before it was trained.
    pub costs: Vec<f64>,
    /// Seconds of training of all seeds.
    pub seconds: f64,
    /// Whether its trainings came to their end, which may be an early one.
    pub ended: bool,
    /// Why it has no score: the loss of a training was no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Trial {
    /// The best score of its first epochs, the mean over seeds; none before a seed has one, and where a training came to no
    /// number.
    pub fn score(&self, epochs: usize, lower: bool) -> Option<f64> {
        if self.problem.is_some() {
            return None;
        }
        let best = |curve: &Vec<f64>| {
            let values = curve.iter().take(epochs).filter(|v| v.is_finite());
            let better = |a: f64, b: &f64| if lower { a.min(*b) } else { a.max(*b) };
            values.fold(None, |known: Option<f64>, value| {
                Some(known.map_or(*value, |known| better(known, value)))
            })
        };
        let of_seeds: Option<Vec<f64>> = self.curves.iter().map(best).collect();
        let of_seeds = of_seeds.filter(|scores| !scores.is_empty())?;
        Some(of_seeds.iter().sum::<f64>() / of_seeds.len() as f64)
    }

    /// Epochs that all its seeds have.
    pub fn epochs(&self) -> usize {
        self.curves.iter().map(Vec::len).min().unwrap_or(0)
    }

    /// The mean over seeds after every epoch.
    pub fn curve(&self) -> Vec<f64> {
        let mean = |epoch: usize| {
            let sum: f64 = self.curves.iter().map(|curve| curve[epoch]).sum();
            sum / self.curves.len() as f64
        };
        (0..self.epochs()).map(mean).collect()
    }
}

impl Found {
    /// The score of a trial over all its epochs.
    pub fn score_of(&self, trial: &Trial) -> Option<f64> {
        trial.score(usize::MAX, self.lower)
    }

    /// The same, of which higher ones are better.
    pub(crate) fn gain(&self, trial: &Trial) -> Option<f64> {
        let sign = if self.lower { -1.0 } else { 1.0 };
        Some(sign * self.score_of(trial)?)
    }

    /// Trials of settings of their own that have a score.
    pub fn scored(&self) -> Vec<&Trial> {
        let own = self.trials.iter().filter(|t| t.same_as.is_none());
        own.filter(|t| self.score_of(t).is_some()).collect()
    }

    /// The best of the trials that came furthest: of a trial that was stopped early nobody knows how far it would come.
    pub fn best(&self) -> Option<&Trial> {
        let scored = self.scored();
        let furthest = match self.rungs.is_empty() {
            true => 0,
            false => scored.iter().map(|t| self.rung(t)).max()?,
        };
        let whole = scored.into_iter().filter(|t| self.rung(t) >= furthest);
        whole.max_by(|a, b| {
            let [ours, theirs] = [a, b].map(|t| self.gain(t).unwrap_or(f64::NEG_INFINITY));
            ours.total_cmp(&theirs).then(b.number.cmp(&a.number))
        })
    }

    /// Rungs that a trial reached; all of them where its training ended, though early.
    fn rung(&self, trial: &Trial) -> usize {
        let reached = self.rungs.iter();
        reached
            .filter(|rung| trial.ended || **rung <= trial.epochs())
            .count()
    }

    /// Trials that no other beats in the score and every cost at once, of those that came furthest.
    pub fn front(&self) -> Vec<&Trial> {
        let Some(best) = self.best() else {
            return Vec::new();
        };
        let furthest = self.rung(best);
        let mut trials = self.scored();
        trials.retain(|t| self.rung(t) >= furthest && t.costs.len() == self.costs.len());
        let scores: Vec<Vec<f64>> = trials
            .iter()
            .map(|trial| {
                let gain = self.gain(trial).unwrap_or(f64::NAN);
                std::iter::once(gain)
                    .chain(trial.costs.iter().map(|cost| -cost))
                    .collect()
            })
            .collect();
        let front = pareto_front(&scores);
        front.into_iter().map(|at| trials[at]).collect()
    }

    /// How much of the variance of the score each parameter explains by itself, as [`importance`] says, with the number of
    /// trials. Compared are scores after the epochs that all of them have.
    pub fn importance(&self) -> (Vec<f64>, usize) {
        let scored = self.scored();
        let epochs = scored.iter().map(|t| t.epochs()).min().unwrap_or(0);
        let finished: Vec<(Point, f64)> = scored
            .iter()
            .filter_map(|t| Some((t.point.clone(), t.score(epochs, self.lower)?)))
            .collect();
        (importance(&finished), finished.len())
    }

    /// What is to be said of it.
    pub fn sentences(&self) -> Vec<String> {
        let mut said = Vec::new();
        let own = self.trials.iter().filter(|t| t.same_as.is_none());
        let epochs: usize = own.clone().flat_map(|t| &t.curves).map(Vec::len).sum();
        let twice = self.trials.len() - own.count();
        let twice = match twice {
            0 => String::new(),
            1 => ", one of settings that were tried before and not trained again".into(),
            n => format!(", {n} of settings that were tried before and not trained again"),
        };
        said.push(format!(
            "{} trials{twice}; {epochs} epochs in all.",
            self.trials.len()
        ));
        if let Some(best) = self.best() {
            let score = self.score_of(best).unwrap_or(f64::NAN);
            said.push(format!(
                "The best has {score:.2} validation {}: {}.",
                self.score,
                best.changes
                    .iter()
                    .map(|c| format!("`{c}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ));
        }
        let (shares, trials) = self.importance();
        let most = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        if let Some((at, share)) = most.filter(|(_, share)| **share > 0.0) {
            said.push(format!(
                "`{}` explains most of the score by itself: {:.0} % of its variance over {trials} trials.",
                self.space.parameters[at].name,
                100.0 * share
            ));
        } else if trials > 0 {
            said.push(format!(
                "No parameter explains the score by itself, over {trials} trials."
            ));
        }
        said.push(
            "The best of many trials is better on the validation split than it will be elsewhere, because it was chosen \
             there. The test split was not read: the command below trains the best recipe, compares it and measures it there."
                .into(),
        );
        said
    }

    /// The result in a terminal.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for sentence in self.sentences() {
            text.push_str(&format!("- {}\n", sentence.replace('`', "")));
        }
        text.push_str(&format!("\n{}\n", self.command));
        text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Value;

    /// Temperature by weight, 3 × 3, of which the second trial is the best; two rungs.
    pub(crate) fn made() -> Found {
        let mut space = Space::default();
        space
            .float("objective.kd.temperature", 1.0, 16.0, true)
            .unwrap();
        space.float("objective.kd.weight", 0.1, 0.9, false).unwrap();
        space
            .choice("student.model", &["\"resnet8\"", "\"resnet14\""])
            .unwrap();
        let mut trials = Vec::new();
        for number in 1..=9usize {
            let (t, w) = ((number - 1) % 3, (number - 1) / 3);
            let model = number % 2;
            let point = Point(vec![
                Value::Float([1.0, 4.0, 16.0][t]),
                Value::Float([0.1, 0.5, 0.9][w]),
                Value::Choice(model, ["\"resnet8\"", "\"resnet14\""][model].into()),
            ]);
            let most = 80.0 - 4.0 * (t as f64 - 1.0).abs() - 0.5 * w as f64;
            let epochs = if t == 1 { 4 } else { 2 };
            let curve: Vec<f64> = (1..=epochs).map(|e| most - 20.0 / e as f64).collect();
            trials.push(Trial {
                number,
                changes: space.assignments(&point),
                point,
                same_as: None,
                curves: vec![curve.clone(), curve],
                costs: vec![[78_000.0, 175_000.0][model]],
                seconds: 3.0,
                ended: epochs == 4,
                problem: None,
            });
        }
        Found {
            name: "a <b>".into(),
            inputs: serde_json::Value::Null,
            facts: vec![("Seeds".into(), "2".into())],
            space,
            score: "top-1 %".into(),
            lower: false,
            rungs: vec![2, 4],
            costs: vec!["parameters".into()],
            trials,
            command: "kd train best.toml".into(),
        }
    }

    #[test]
    fn the_best_is_among_those_that_came_furthest() {
        let mut found = made();
        assert_eq!(found.best().unwrap().number, 2);
        // A better beginning is no better end.
        found.trials[0].curves = vec![vec![90.0, 91.0]; 2];
        assert_eq!(found.best().unwrap().number, 2);
        assert_eq!(found.trials[0].score(1, false), Some(90.0));
        found.lower = true;
        assert_eq!(found.trials[0].score(2, true), Some(90.0));
        assert_eq!(found.best().unwrap().number, 8);
        found.trials.clear();
        assert!(found.best().is_none() && found.front().is_empty());
        // A training that had no more to learn came as far as any.
        let mut found = made();
        (found.trials[0].curves, found.trials[0].ended) = (vec![vec![90.0, 91.0]; 2], true);
        assert_eq!(found.best().unwrap().number, 1);
    }

    #[test]
    fn a_seed_without_a_number_is_no_score_and_means_are_over_seeds() {
        let mut trial = made().trials[0].clone();
        trial.curves = vec![vec![1.0, 3.0], vec![2.0, f64::NAN, 9.0]];
        assert_eq!(trial.score(2, false), Some(2.5));
        assert_eq!(trial.epochs(), 2);
        assert_eq!(trial.curve()[0], 1.5);
        trial.curves[1] = vec![f64::NAN];
        assert_eq!(trial.score(2, false), None);
    }

    #[test]
    fn the_front_weighs_the_score_against_the_cost() {
        let found = made();
        // Of 2, 5 and 8, which came furthest: 2 and 8 have the small network, and 5 is large and worse.
        let numbers: Vec<usize> = found.front().iter().map(|t| t.number).collect();
        assert_eq!(numbers, [2]);
        let mut found = made();
        found.trials[4].curves = vec![vec![90.0; 4]; 2];
        let numbers: Vec<usize> = found.front().iter().map(|t| t.number).collect();
        assert_eq!(numbers, [2, 5]);
    }

    #[test]
    fn it_says_what_matters() {
        let found = made();
        let (shares, trials) = found.importance();
        assert_eq!(trials, 9);
        assert!(shares[0] > 0.9 && shares[1] < 0.1, "{shares:?}");
        let text = found.to_text();
        for part in [
            "9 trials; 48 epochs in all",
            "The best has 75.00 validation top-1 %: objective.kd.temperature=4.0, objective.kd.weight=0.1",
            "objective.kd.temperature explains most",
            "The test split was not read",
            "kd train best.toml",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
