//! What the steps after the first propose, and why.

use std::time::Instant;

use kd_core::TermConfig;
use kd_diagnose::Level;
use kd_improve::candidates::{self, TermNumbers};
use kd_improve::{Candidate, Check, Outcome, Room};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::run::{ImproveObserver, Procedure, Within};
use super::steps::Proposed;
use crate::cache::identity::hex;
use crate::diagnose::{Advice, advise};
use crate::folder::{io, write_atomically};
use crate::search::{self, Found, Search, Workers};
use crate::{Error, Recipe};

/// Candidates of feature terms, and trials of the search, at most; the search needs some.
const CANDIDATES: usize = 4;
const TRIALS: usize = 12;
const LEAST_TRIALS: usize = 4;
/// Settings of a search that are written down.
const SHOWN: usize = 5;

impl Procedure<'_> {
    /// Diagnoses the recipe so far.
    pub fn diagnose(&mut self, observer: &mut dyn ImproveObserver) -> Result<Advice, Error> {
        observer.turn("diagnosis");
        let advice = advise(&self.folder, self.seed, self.device, observer)?;
        let findings = advice
            .diagnosis
            .findings
            .iter()
            .filter(|f| f.level != Level::Fine);
        let findings = findings.map(|finding| Check {
            title: finding.title.clone(),
            bad: finding.level == Level::Problem,
            sentence: finding.sentence.clone(),
        });
        self.found.findings = findings.collect();
        let page = self.options.out.join("diagnosis.html");
        write_atomically(
            &page,
            advice.diagnosis.to_html(&self.found.name)?.as_bytes(),
        )?;
        self.link("The diagnosis", "diagnosis.html");
        Ok(advice)
    }

    /// The teacher's normalisation.
    pub fn input(
        &mut self,
        normalize: String,
        observer: &mut dyn ImproveObserver,
    ) -> Result<bool, Error> {
        let proposed = Proposed {
            key: "input",
            title: "The teacher's input",
            reason:
                "By the diagnosis the teacher was trained on images that were normalised otherwise."
                    .into(),
            cost: 1.0,
        };
        self.try_out(proposed, vec![vec![normalize]], observer)
    }

    /// Terms on feature maps at the advised levels.
    pub fn features(
        &mut self,
        advice: &Advice,
        observer: &mut dyn ImproveObserver,
    ) -> Result<(), Error> {
        let (key, title) = ("features", "Feature terms");
        let finding = advice.diagnosis.get("layers");
        let Some(finding) = finding.filter(|_| !advice.levels.is_empty()) else {
            let why = match finding {
                Some(finding) => format!(
                    "every level of the teacher's maps is aligned with the student's (least alignment {:.2})",
                    finding.number
                ),
                None => "teacher and student show no maps that can be compared".into(),
            };
            self.skip(key, title, why);
            return Ok(());
        };
        let recipe = self.recipe(&[], observer)?;
        let present: Vec<String> = recipe
            .objective
            .terms
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        let wanted = candidates::features(&advice.levels, &present, &literature);
        let wanted = wanted
            .into_iter()
            .take(CANDIDATES)
            .map(|change| vec![change]);
        let proposed = Proposed {
            key,
            title,
            reason: format!(
                "By the diagnosis the least aligned level has a linear CKA of {:.2}.",
                finding.number
            ),
            cost: self.cost_of(&recipe),
        };
        self.try_out(proposed, wanted.collect(), observer)?;
        Ok(())
    }

    /// Weights and temperature by a small search.
    pub fn search(&mut self, observer: &mut dyn ImproveObserver) -> Result<(), Error> {
        let (key, title) = ("search", "Weights and temperature");
        let recipe = self.recipe(&[], observer)?;
        let ranges = candidates::space(&numbers(&recipe)?);
        if ranges.is_empty() {
            self.skip(
                key,
                title,
                "no weight or temperature of the loss is a plain number".into(),
            );
            return Ok(());
        }
        let epochs = recipe.train.epochs;
        let least = epochs / 4;
        let cost = self.cost_of(&recipe);
        // Half the trials go on at either rung: 1/4 + 1/2 · 1/4 + 1/4 · 1/2 of a training each, and stages are trained whole.
        let each = if least > 0 { cost - 0.5 } else { cost };
        self.trainer.clock();
        let room = self
            .trainer
            .ledger
            .room(TRIALS, each, cost * self.options.seeds as f64);
        let trials = match room {
            Room::Candidates(trials) if trials >= LEAST_TRIALS => trials,
            Room::Candidates(trials) => {
                self.skip(
                    key,
                    title,
                    format!(
                        "the budget has room for {trials} trials, and a search needs {LEAST_TRIALS}"
                    ),
                );
                return Ok(());
            }
            Room::None(why) => {
                self.skip(key, title, why);
                return Ok(());
            }
        };
        let found = self.search_among(&ranges, trials, least, observer)?;
        let trained: f64 = found
            .trials
            .iter()
            .map(|t| t.epochs() as f64 / epochs as f64 + cost - 1.0)
            .sum();
        self.trainer
            .charge(trained, found.trials.iter().map(|t| t.seconds).sum());
        let mut scored = found.scored();
        scored.sort_by(|a, b| {
            let of = |trial| found.score_of(trial).unwrap_or(f64::NAN);
            let order = of(b).total_cmp(&of(a));
            (b.epochs().cmp(&a.epochs())).then(if found.lower { order.reverse() } else { order })
        });
        let shown = scored.iter().take(SHOWN).map(|trial| Candidate {
            changes: trial.changes.clone(),
            score: found.score_of(trial),
            note: format!("after {} epochs", trial.epochs()),
        });
        let shown = shown.collect();
        let proposed = Proposed {
            key,
            title,
            reason: format!("The best of {trials} settings that a search tried."),
            cost,
        };
        let Some(best) = found.best() else {
            let why = "the loss of every trial came to no number".into();
            self.step(proposed.step(shown, Outcome::Failed(why)));
            return Ok(());
        };
        let changes = best.changes.clone();
        let outcome = self.compare(title, &changes, cost, observer)?;
        self.conclude(proposed, shown, changes, outcome);
        Ok(())
    }

    fn search_among(
        &mut self,
        ranges: &[candidates::Range],
        trials: usize,
        least: usize,
        observer: &mut dyn ImproveObserver,
    ) -> Result<Found, Error> {
        let recipe =
            std::path::absolute(self.trainer.path).map_err(io("resolve", self.trainer.path))?;
        let recipe = toml::Value::String(recipe.to_string_lossy().into_owned());
        let mut space = format!("recipe = {recipe}\nsampler = \"tpe\"\ntrials = {trials}\n");
        if least > 0 {
            space += &format!("asha = {{ least = {least}, eta = 2 }}\n");
        }
        space += "\n[parameters]\n";
        for range in ranges {
            space += &format!(
                "{} = {{ from = {:?}, to = {:?}, log = true }}\n",
                range.key, range.from, range.to
            );
        }
        let chooser = [format!("seed={}", self.chooser()), "track=".into()];
        let trainer = &self.trainer;
        let overrides = [
            trainer.overrides,
            &trainer.shared,
            &self.changes,
            &chooser[..],
        ]
        .concat();
        let hash = Sha256::digest(format!("{space}{}", self.changes.join("\n")));
        let name = format!("search-{}", hex(&hash[..6]));
        let out = self.options.out.join(&name);
        std::fs::create_dir_all(&out).map_err(io("create", &out))?;
        let file = out.join("space.toml");
        write_atomically(&file, space.as_bytes())?;
        let begun = Instant::now();
        let options = search::Options {
            out,
            device_name: self.options.device_name.clone(),
            workers: Workers::Here,
            shared: Some(trainer.shared()),
        };
        let search = Search::load(&file, &overrides)?;
        let found = search::run(&search, &options, self.device, &mut Within(observer))?;
        self.trainer.trained_elsewhere(begun);
        self.link(
            "The search of weights and temperature",
            &format!("{name}/search.html"),
        );
        Ok(found)
    }

    /// An assistant between teacher and student.
    pub fn assistant(
        &mut self,
        advice: &Advice,
        observer: &mut dyn ImproveObserver,
    ) -> Result<(), Error> {
        let (key, title) = ("assistant", "Assistant");
        let recipe = self.recipe(&[], observer)?;
        let capacity = advice.diagnosis.get("capacity");
        let why = match capacity {
            None => Some("the diagnosis could not judge the capacity gap".into()),
            Some(found) if found.level != Level::Problem => Some(format!(
                "the capacity gap does not ask for one (the student gives the teacher's class on {:.0} % of the training images \
                 of the class in the middle)",
                100.0 * found.number
            )),
            Some(found) if found.named.is_empty() => {
                Some("teacher and student are too near in size for a network between them".into())
            }
            Some(_) if !recipe.stages.is_empty() || recipe.student.teachers.is_some() => {
                Some("the recipe has stages or teachers of its own".into())
            }
            Some(_) => None,
        };
        let (Some(found), None) = (capacity, &why) else {
            self.skip(key, title, why.unwrap_or_default());
            return Ok(());
        };
        let proposed = Proposed {
            key,
            title,
            reason: format!(
                "By the diagnosis the student gives the teacher's class on only {:.0} % of the training images of the class in \
                 the middle, and more epochs would not change that.",
                100.0 * found.number
            ),
            cost: 1.0 + found.named.len() as f64,
        };
        let changes = candidates::assistants(&found.named);
        self.try_out(proposed, vec![changes], observer)?;
        Ok(())
    }

    /// Trainings that a student of a recipe needs: its own and those of its stages.
    fn cost_of(&self, recipe: &Recipe) -> f64 {
        1.0 + recipe.stages.len() as f64
    }
}

/// The literature's weight of a term.
fn literature(name: &str) -> f64 {
    let term = serde_json::from_value::<kd_core::ObjectiveConfig>(serde_json::json!({ name: {} }));
    let term = term
        .ok()
        .and_then(|objective| objective.terms.into_iter().next());
    term.map_or(1.0, |(_, entry)| TermConfig::default_weight(&entry.term))
}

/// What of the terms of a loss is a plain number.
fn numbers(recipe: &Recipe) -> Result<Vec<TermNumbers>, Error> {
    let objective =
        serde_json::to_value(&recipe.objective).map_err(|e| Error::Recipe(e.to_string()))?;
    let terms = objective.as_object().into_iter().flatten();
    let terms = terms.filter(|(_, term)| term.is_object());
    Ok(terms
        .map(|(name, term)| TermNumbers {
            name: name.clone(),
            weight: term.get("weight").and_then(Value::as_f64),
            temperature: term.get("temperature").and_then(Value::as_f64),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TrainConfig;

    #[test]
    fn weights_and_temperatures_are_read_with_their_defaults() {
        let objective = serde_json::json!({
            "cross_entropy": { "weight": 0.1 },
            "kd": {},
            "at": { "weight": { "schedule": "cosine", "from": 1.0, "to": 0.0 } },
        });
        let objective = serde_json::from_value(objective).unwrap();
        let recipe = Recipe::new("r", "resnet8", objective, TrainConfig::new(1, 0.1));
        let found = numbers(&recipe).unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|t| (t.name.as_str(), t.weight.is_some(), t.temperature))
            .collect();
        assert_eq!(short[0], ("cross_entropy", true, None));
        assert_eq!(
            (short[1].0, short[1].1, short[1].2.is_some()),
            ("kd", true, true)
        );
        assert_eq!(short[2], ("at", false, None));
        assert!(literature("at") > literature("kd"));
    }
}
