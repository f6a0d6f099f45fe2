//! What was found, in sentences and in the terminal.

use crate::budget::duration;
use crate::found::mean;
use crate::{Decision, Improved, Outcome, Step, Tested};

impl Improved {
    /// What to do, in a sentence or two: what stands on top of the page.
    pub fn verdict(&self) -> String {
        let kept: Vec<String> = self.kept().map(|s| s.title.to_lowercase()).collect();
        let Some(test) = &self.test else {
            return match self.checks.last().filter(|_| self.stopped) {
                Some(check) => format!(
                    "Nothing was tried, because the baseline is not sound. {}",
                    check.sentence
                ),
                None => "This is not finished: the same command goes on.".into(),
            };
        };
        let score = &self.score;
        if kept.is_empty() {
            let tried = match self.comparisons() {
                0 => "Nothing was tried".to_owned(),
                1 => "The one change that was tried is not better than the recipe as it is, as far as its seeds show".into(),
                n => format!("None of {n} changes that were tried is better than the recipe as it is, as far as their seeds show"),
            };
            return format!(
                "{tried}: keep it. It has {} {score} on test images.",
                one(mean(&test.given))
            );
        }
        let what = list(&kept);
        let (best, given) = (one(mean(&test.best)), one(mean(&test.given)));
        let gain = test.gain.map_or(0.0, |(gain, _)| gain);
        match (test.shown, gain > 0.0) {
            (true, true) => format!(
                "Take the new recipe ({what}): on test images it has {best} instead of {given} {score}, a gain of {} that {} and \
                 {} test images show.",
                self.amount(gain),
                seeds(test.best.len()),
                count(test.images)
            ),
            (false, true) => format!(
                "The new recipe ({what}) is better on validation; on test images it has {best} instead of {given} {score}, a \
                 difference of {} that {} and {} test images do not show for certain.",
                self.amount(gain),
                seeds(test.best.len()),
                count(test.images)
            ),
            (_, false) => format!(
                "Keep the recipe as it is: what was better on validation ({what}) is not on test images, {best} instead of {given} \
                 {score}."
            ),
        }
    }

    /// `1.20 points`.
    pub(crate) fn amount(&self, value: f64) -> String {
        format!("{:.2} {}", value.abs(), self.unit)
            .trim_end()
            .to_owned()
    }

    /// `+1.20 ± 0.50 points`.
    pub(crate) fn signed(&self, value: f64, half: Option<f64>) -> String {
        let half = half.map_or(String::new(), |half| format!(" ± {half:.2}"));
        format!("{value:+.2}{half} {}", self.unit)
            .trim_end()
            .to_owned()
    }

    /// What became of a step, in a sentence or two.
    pub fn sentence(&self, step: &Step) -> String {
        match &step.outcome {
            Outcome::Skipped(why) => format!("Not tried: {why}."),
            Outcome::Tested(tested) => self.of_test(tested),
            Outcome::Failed(why) => format!("Dropped: {why}."),
        }
    }

    fn of_test(&self, tested: &Tested) -> String {
        let n = tested.gains.len();
        let gain = self.signed(tested.mean(), tested.half);
        match tested.decision {
            Decision::Kept => format!("Kept: {gain} over {}, an interval above 0.", seeds(n)),
            Decision::Worse => format!("Dropped: it is worse, {gain} over {}.", seeds(n)),
            Decision::NotShown => format!("Dropped: {gain}, no difference that {} shown.", show(n)),
            Decision::Stopped => format!(
                "Given up after {n} of {} seeds, none of which gained: {gain}.",
                tested.planned
            ),
            Decision::Unfinished => format!(
                "The budget ended after {n} of {} seeds ({gain}), so nothing is decided and the recipe stays as it was.",
                tested.planned
            ),
        }
    }

    /// What the comparisons can and cannot show.
    pub fn limits(&self) -> String {
        let n = self.comparisons();
        let mut text = format!(
            "Every comparison trains both recipes with the same {} and looks at the differences on {} validation images: what \
             other seeds would give on the same images.",
            seeds(self.seeds),
            count(self.images)
        );
        if n > 0 {
            text += &format!(
                " A useless change is kept in at most 2.5 % of comparisons, so with {n} of them the chance of at least one is at \
                 most {:.1} %; the test split, read once at the end, tells.",
                2.5 * n as f64
            );
        }
        text
    }

    /// What was spent, of what.
    pub fn cost(&self) -> String {
        format!(
            "{:.1} trainings in {}, of a budget of {}",
            self.spent.trainings,
            duration(self.spent.seconds),
            self.budget
        )
    }

    /// The verdict, what each step gave, and what the best recipe changes.
    pub fn to_text(&self) -> String {
        let mut lines = vec![self.verdict(), String::new()];
        for check in self.checks.iter().chain(&self.findings) {
            let mark = if check.bad { "!" } else { " " };
            lines.push(format!("{mark} {}: {}", check.title, check.sentence));
        }
        lines.push(String::new());
        lines.push(format!(
            "{:<24} {:>8}  validation {}",
            "", "mean", self.score
        ));
        if !self.alone.is_empty() {
            lines.push(format!(
                "{:<24} {:>8.2}",
                "student alone",
                mean(&self.alone)
            ));
        }
        if !self.given.is_empty() {
            let above = self.distilled.as_ref().map_or(String::new(), |d| {
                format!(
                    "  {} above the student alone",
                    self.signed(d.mean(), d.half)
                )
            });
            lines.push(format!(
                "{:<24} {:>8.2}{above}",
                "the recipe as it is",
                mean(&self.given)
            ));
        }
        for step in &self.steps {
            let score = match &step.outcome {
                Outcome::Tested(tested) => format!("{:.2}", mean(&tested.new)),
                Outcome::Skipped(_) | Outcome::Failed(_) => "-".into(),
            };
            lines.push(format!(
                "{:<24} {score:>8}  {}",
                step.title.to_lowercase(),
                self.sentence(step)
            ));
        }
        if let Some(test) = &self.test {
            lines.push(String::new());
            lines.push(format!("test {}, read once at the end", self.score));
            let rows = test.rows().into_iter();
            lines.extend(rows.map(|(name, values)| format!("{name:<24} {:>8.2}", mean(values))));
            if !test.sentence.is_empty() {
                lines.push(test.sentence.clone());
            }
        }
        if !self.changes.is_empty() {
            lines.push(String::new());
            lines.push("The best recipe changes:".into());
            lines.extend(self.changes.iter().map(|change| format!("  {change}")));
        }
        lines.push(String::new());
        lines.push(format!("{}.", self.cost()));
        lines.join("\n")
    }
}

/// `3 seeds`.
pub(crate) fn seeds(count: usize) -> String {
    match count {
        1 => "1 seed".into(),
        count => format!("{count} seeds"),
    }
}

/// `one seed has`, `5 seeds have`: what stands before `shown`.
fn show(count: usize) -> String {
    match count {
        1 => "one seed has".into(),
        count => format!("{count} seeds have"),
    }
}

/// A value with one decimal.
fn one(value: f64) -> String {
    format!("{value:.1}")
}

/// `12,345`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `a`, `a and b`, `a, b and c`.
fn list(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Budget, Candidate, Check, Spent, TestSplit};

    pub fn tested(gains: &[f64], half: f64, decision: Decision) -> Tested {
        Tested {
            changes: vec!["objective.at={ levels = [2] }".into()],
            new: gains.iter().map(|g| 80.0 + g).collect(),
            old: vec![80.0; gains.len()],
            gains: gains.into(),
            half: Some(half),
            planned: 3,
            decision,
        }
    }

    /// A procedure with a step of every outcome.
    pub fn made() -> Improved {
        let step = |key: &str, title: &str, outcome: Outcome| Step {
            key: key.into(),
            title: title.into(),
            reason: "The diagnosis says so.".into(),
            candidates: vec![
                Candidate {
                    changes: vec!["objective.at={ levels = [2] }".into()],
                    score: Some(81.25),
                    note: String::new(),
                },
                Candidate {
                    changes: vec!["a=<b>".into()],
                    score: None,
                    note: "the loss was no number".into(),
                },
            ],
            outcome,
        };
        let check = |title: &str, bad, sentence: &str| Check {
            title: title.into(),
            bad,
            sentence: sentence.into(),
        };
        Improved {
            name: "a <b>".into(),
            inputs: serde_json::Value::Null,
            facts: vec![("Recipe".into(), "quick.toml".into())],
            score: "top-1 %".into(),
            unit: "points".into(),
            seeds: 3,
            images: 1000,
            budget: Budget::Trainings(60),
            spent: Spent {
                trainings: 31.25,
                seconds: 640.0,
            },
            alone: vec![76.0, 77.0, 77.5],
            given: vec![80.0, 79.5, 80.5],
            distilled: Some(tested(&[4.0, 2.5, 3.0], 1.8, Decision::Kept)),
            checks: vec![check(
                "Learning rate",
                false,
                "The rate of the recipe is the best of three.",
            )],
            findings: vec![check("Feature maps", false, "Level 2 is not aligned.")],
            steps: vec![
                step(
                    "features",
                    "Feature terms",
                    Outcome::Tested(tested(&[1.0, 1.5, 1.25], 0.6, Decision::Kept)),
                ),
                step(
                    "search",
                    "Weights and temperature",
                    Outcome::Tested(tested(&[0.25, -0.5, 0.5], 1.4, Decision::NotShown)),
                ),
                step(
                    "early",
                    "Another",
                    Outcome::Tested(tested(&[-0.5, -0.25], 1.6, Decision::Stopped)),
                ),
                step(
                    "input",
                    "The teacher's input",
                    Outcome::Failed("with seed 1 the loss is not finite".into()),
                ),
                step(
                    "assistant",
                    "Assistant",
                    Outcome::Skipped("the capacity gap does not ask for one".into()),
                ),
            ],
            stopped: false,
            changes: vec!["objective.at={ levels = [2] }".into()],
            test: Some(TestSplit {
                images: 2000,
                teacher: Some(90.0),
                alone: vec![76.5, 76.0, 77.0],
                given: vec![80.0, 80.5, 79.0],
                best: vec![81.5, 82.0, 81.0],
                gain: Some((1.67, Some(0.72))),
                shown: true,
                sentence: "This difference is shown.".into(),
            }),
            links: vec![("The best recipe".into(), "best.toml".into())],
        }
    }

    #[test]
    fn the_verdict_says_what_to_do() {
        let mut found = made();
        assert_eq!(
            found.verdict(),
            "Take the new recipe (feature terms): on test images it has 81.5 instead of 79.8 top-1 %, a gain of 1.67 points that \
             3 seeds and 2,000 test images show."
        );
        found.test.as_mut().unwrap().shown = false;
        assert!(found.verdict().contains("do not show for certain"));
        found.test.as_mut().unwrap().gain = Some((-0.5, None));
        assert!(
            found
                .verdict()
                .starts_with("Keep the recipe as it is: what was better on validation")
        );
        found.steps.remove(0);
        assert!(
            found.verdict().starts_with("None of 2 changes"),
            "{}",
            found.verdict()
        );
        found.test = None;
        assert!(found.verdict().contains("not finished"));
        found.stopped = true;
        assert!(
            found
                .verdict()
                .contains("the baseline is not sound. The rate")
        );
    }

    #[test]
    fn every_outcome_has_its_reason() {
        let found = made();
        let said: Vec<String> = found.steps.iter().map(|s| found.sentence(s)).collect();
        assert_eq!(
            said[0],
            "Kept: +1.25 ± 0.60 points over 3 seeds, an interval above 0."
        );
        assert_eq!(
            said[1],
            "Dropped: +0.08 ± 1.40 points, no difference that 3 seeds have shown."
        );
        assert_eq!(
            said[2],
            "Given up after 2 of 3 seeds, none of which gained: -0.38 ± 1.60 points."
        );
        assert_eq!(said[3], "Dropped: with seed 1 the loss is not finite.");
        assert_eq!(said[4], "Not tried: the capacity gap does not ask for one.");
        assert!(
            found
                .limits()
                .contains("with 3 of them the chance of at least one is at most 7.5 %")
        );
        let text = found.to_text();
        for part in [
            "31.2 trainings in 11 min, of a budget of 60 trainings",
            "+3.17 ± 1.80 points above the student alone",
            "  objective.at={ levels = [2] }",
            "the best recipe",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
