//! Trainings of the procedure, each with what it costs.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;
use kd_improve::Ledger;
use sha2::{Digest, Sha256};

use super::run::{ImproveObserver, Options};
use crate::cache::identity::hex;
use crate::folder::io;
use crate::run::Sharing;
use crate::search::trial::{self, train_until};
use crate::study::Shared;
use crate::{Error, Recipe, Role, RunOptions, Score};

/// A student after its training.
pub(super) struct Trained {
    /// The validation score of its best epoch; none where the loss came to no number.
    pub score: Option<Score>,
    /// That of the student alone, where it was trained too.
    pub alone: Option<Score>,
    /// Why it has none.
    pub problem: Option<String>,
    /// Its run folder.
    pub folder: PathBuf,
}

/// Trains changes of a recipe.
pub(super) struct Trainer<'a> {
    pub path: &'a Path,
    pub overrides: &'a [String],
    /// Changes that all recipes of the procedure share, such as a teacher that was trained here.
    pub shared: Vec<String>,
    pub options: &'a Options,
    pub device: &'a Device,
    pub ledger: Ledger,
    /// Epochs and training images of the recipe: a training of so many counts as one.
    pub size: [usize; 2],
    begun: Instant,
    /// Seconds that this process trained, and those of all trainings, whenever they were done.
    here: f64,
    all: f64,
}

impl<'a> Trainer<'a> {
    pub fn new(
        path: &'a Path,
        overrides: &'a [String],
        options: &'a Options,
        device: &'a Device,
        size: [usize; 2],
    ) -> Self {
        Self {
            path,
            overrides,
            shared: Vec::new(),
            options,
            device,
            ledger: Ledger::new(options.budget),
            size,
            begun: Instant::now(),
            here: 0.0,
            all: 0.0,
        }
    }

    /// The recipe with changes.
    pub fn recipe(
        &self,
        name: &str,
        changes: &[String],
        observer: &mut dyn ImproveObserver,
    ) -> Result<Recipe, Error> {
        let name = [format!("name=\"{name}\""), "track=".into()];
        let all = [self.overrides, &self.shared, changes, &name[..]].concat();
        Recipe::load(self.path, &all)?.complete(observer)
    }

    /// Trains the recipe with changes and a seed, or finds that it was. `told` says why, for who watches.
    pub fn train(
        &mut self,
        told: &str,
        changes: &[String],
        seed: u64,
        observer: &mut dyn ImproveObserver,
    ) -> Result<Trained, Error> {
        let recipe = self.recipe("training", changes, observer)?;
        self.train_recipe(told, &recipe, seed, observer)
    }

    pub fn train_recipe(
        &mut self,
        told: &str,
        recipe: &Recipe,
        seed: u64,
        observer: &mut dyn ImproveObserver,
    ) -> Result<Trained, Error> {
        let hash = hex(&Sha256::digest(recipe.to_toml()?)[..6]);
        let folder = trial::folder(&self.options.out.join("runs").join(hash), seed);
        let role = recipe.last_role();
        if !trial::read(&folder, &role)?.ended {
            observer.turn(&format!("{told}, seed {seed}"));
            self.train_now(recipe, &folder, seed, observer)?;
        }
        let left = trial::read(&folder, &role)?;
        let alone = match recipe.compare && role != Role::Baseline {
            true => trial::read(&folder, &Role::Baseline)?,
            false => trial::Left::default(),
        };
        let [epochs, images] = self.size;
        let few = recipe
            .data
            .train_limit
            .map_or(images, |few| few.min(images));
        let share = (recipe.train.epochs * few) as f64 / (epochs * images).max(1) as f64;
        let trainings = 1 + recipe.stages.len() + usize::from(!alone.curve.is_empty());
        let seconds = left.wall.unwrap_or(left.seconds + alone.seconds);
        if self.ledger.unit.is_none() && recipe.train.epochs == epochs {
            // Of the distilled student, without the student alone.
            let own = left.seconds / (left.seconds + alone.seconds).max(1e-9);
            self.ledger.unit = Some(seconds * own);
        }
        self.charge(share * trainings as f64, seconds);
        Ok(Trained {
            score: best(&left),
            alone: best(&alone),
            problem: left.problem,
            folder,
        })
    }

    fn train_now(
        &mut self,
        recipe: &Recipe,
        folder: &Path,
        seed: u64,
        observer: &mut dyn ImproveObserver,
    ) -> Result<(), Error> {
        let begun = Instant::now();
        let run = RunOptions {
            out: folder.into(),
            seeds: (seed - recipe.seed) as usize + 1,
            device_name: self.options.device_name.clone(),
            reuse: true,
            resume: true,
        };
        let sharing = Sharing {
            finished: Some(self.shared().finished()),
            seed: Some(seed),
            ..Sharing::default()
        };
        let mut train = || train_until(recipe, &run, &sharing, None, self.device, observer);
        match train() {
            // A version that could not go on left it, and what it finished is kept elsewhere.
            Err(Error::Taken { busy: false, .. }) => {
                std::fs::remove_dir_all(folder).map_err(io("remove", folder))?;
                train()
            }
            result => result,
        }?;
        self.here += begun.elapsed().as_secs_f64();
        Ok(())
    }

    /// Where finished trainings are kept.
    pub fn shared(&self) -> Shared {
        Shared::new(&self.options.out)
    }

    /// Notes trainings and their seconds.
    pub fn charge(&mut self, trainings: f64, seconds: f64) {
        self.ledger.spent.trainings += trainings;
        self.all += seconds;
        self.clock();
    }

    /// Notes seconds that this process trained elsewhere, which are charged otherwise.
    pub fn trained_elsewhere(&mut self, begun: Instant) {
        self.here += begun.elapsed().as_secs_f64();
    }

    /// Counts the time that passed beside trainings.
    pub fn clock(&mut self) {
        let beside = (self.begun.elapsed().as_secs_f64() - self.here).max(0.0);
        self.ledger.spent.seconds = self.all + beside;
    }
}

/// The best epoch.
fn best(left: &trial::Left) -> Option<Score> {
    let last = left.score.as_ref().filter(|_| left.problem.is_none())?;
    let better = |a: &f64, b: &f64| last.better.gain(*a, *b).total_cmp(&0.0);
    let value = left.curve.iter().copied().max_by(better)?;
    Some(Score {
        value,
        ..last.clone()
    })
}

/// By how much scores are better than others, pair by pair.
pub(super) fn gains(new: &[Score], old: &[Score]) -> Vec<f64> {
    let pairs = new.iter().zip(old);
    pairs
        .map(|(new, old)| new.better.gain(new.value, old.value))
        .collect()
}

/// The better one of two, where higher and lower are told apart by the scores.
pub(super) fn is_better(new: &Score, old: &Score) -> bool {
    new.better.gain(new.value, old.value) > 0.0
}

pub(super) fn values(scores: &[Score]) -> Vec<f64> {
    scores.iter().map(|score| score.value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Better, Unit};

    #[test]
    fn the_best_epoch_counts_and_a_diverged_training_has_none() {
        let score = |better| Score {
            key: "top1".into(),
            title: "top-1".into(),
            unit: Unit::Percent,
            better,
            value: 70.0,
        };
        let left = |better, problem: Option<&str>| trial::Left {
            curve: vec![60.0, 75.0, 70.0],
            score: Some(score(better)),
            problem: problem.map(String::from),
            ..trial::Left::default()
        };
        assert_eq!(best(&left(Better::Higher, None)).unwrap().value, 75.0);
        assert_eq!(best(&left(Better::Lower, None)).unwrap().value, 60.0);
        assert!(best(&left(Better::Higher, Some("NaN"))).is_none());
        let (high, low) = (
            score(Better::Higher),
            Score {
                value: 69.0,
                ..score(Better::Higher)
            },
        );
        assert!(is_better(&high, &low) && !is_better(&high, &high));
        assert_eq!(gains(&[low], &[high]), [-1.0]);
    }
}
