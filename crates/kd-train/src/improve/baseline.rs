//! The first step: whether the baseline is sound before anything is built on it.

use std::path::Path;

use kd_improve::{Budget, Decision, Tested};

use super::run::{ImproveObserver, Procedure};
use super::steps::{Proposed, tested};
use super::trainer::{Trained, is_better, values};
use crate::records::Record;
use crate::report::read::text;
use crate::stats::Spread;
use crate::{Error, Score};

/// Rates of the rate test, in that of the recipe.
const RATES: [f64; 3] = [1.0 / 3.0, 1.0, 3.0];
/// Another rate is tried where it has so many points more in the rate test.
const RATE_MARGIN: f64 = 1.0;
/// Images of the small batch, at most, and steps on them.
const FEW: usize = 64;
const STEPS: usize = 100;
/// Share of the loss of a guess that is left when they are learned by heart.
const LEARNED: f64 = 0.1;

/// Trainings that the first step needs: the student distilled and alone, and one for the checks.
pub(super) fn needed(seeds: usize) -> f64 {
    2.0 * seeds as f64 + 1.0
}

impl Procedure<'_> {
    /// Trains the recipe as it is, and checks its rate and whether the student learns at all. Says whether it is sound.
    pub(super) fn baseline(&mut self, observer: &mut dyn ImproveObserver) -> Result<bool, Error> {
        let mut alone = Vec::new();
        for seed in self.seeds() {
            let trained = self.train("the recipe as it is", &[], true, seed, observer)?;
            let (Some(score), Some(own)) = (trained.score, trained.alone) else {
                let problem = trained
                    .problem
                    .unwrap_or_else(|| "it has no validation score".into());
                self.check("Training", true, format!("With seed {seed} {problem}."));
                return Ok(false);
            };
            if seed == self.seed {
                self.folder = trained.folder;
                self.fits_time()?;
            }
            self.scores.push(score);
            alone.push(own);
        }
        let first = &self.scores[0];
        self.found.score = format!("{} {}", first.title, first.unit.symbol())
            .trim_end()
            .into();
        self.found.unit = first.unit.difference().into();
        self.found.alone = values(&alone);
        self.found.given = values(&self.scores);
        let distilled = tested(&[], &self.scores, &alone, self.options.seeds, self.grain());
        let decision = distilled.decision;
        self.found.distilled = Some(distilled);
        self.spread(decision);
        let better = self.rates(observer)?;
        let rate = better
            .as_deref()
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>();
        if !self.overfits(&rate, observer)? {
            return Ok(false);
        }
        match better {
            Some(change) => {
                let proposed = Proposed {
                    key: "rate",
                    title: "Learning rate",
                    reason: "It had more than the rate of the recipe in the rate test.".into(),
                    cost: 1.0,
                };
                self.try_out(proposed, vec![vec![change]], observer)?;
            }
            None => {
                let why =
                    "the rate of the recipe is the best of the rate test, or within a point of it";
                self.skip("rate", "Learning rate", why.into());
            }
        }
        Ok(true)
    }

    /// Whether the first step fits into a time.
    fn fits_time(&self) -> Result<(), Error> {
        let needed = needed(self.options.seeds);
        let (Budget::Seconds(all), Some(unit)) = (self.options.budget, self.trainer.ledger.unit)
        else {
            return Ok(());
        };
        if needed * unit <= all {
            return Ok(());
        }
        Err(Error::Recipe(format!(
            "--budget {:.0}s is too small: a training takes {unit:.0} s here, so the first step alone needs about {:.0} s with {} \
             seeds; give --budget {:.0}s or more, or fewer --seeds. What was trained is kept",
            all,
            needed * unit,
            self.options.seeds,
            (2.0 * needed * unit).ceil()
        )))
    }

    /// How far seeds lie apart, and what so many of them can show.
    fn spread(&mut self, distilled: Decision) {
        let spread = Spread::of(&self.found.given);
        // Of the difference of two such means, as if seeds had nothing in common.
        let shown = spread
            .uncertainty(self.grain())
            .map_or(f64::NAN, |half| half * 2f64.sqrt());
        let (seeds, unit) = (self.options.seeds, &self.found.unit);
        let sentence = format!(
            "{} {}, mean and standard deviation over {seeds} seeds: a gain of less than about {shown:.1} {unit} is not to be \
             seen with so many.",
            spread.show(),
            self.found.score
        );
        self.check("Spread of seeds", false, sentence);
        let kept = distilled == Decision::Kept;
        let gain = self.found.distilled.as_ref().map_or(0.0, Tested::mean);
        let half = self.found.distilled.as_ref().and_then(|d| d.half);
        let half = half.map_or(String::new(), |half| format!(" ± {half:.2}"));
        let sentence = format!(
            "The teacher's help is worth {gain:+.2}{half} {} over the student alone{}.",
            self.found.unit,
            if kept {
                ""
            } else {
                ", which these seeds do not show to be a gain"
            }
        );
        self.check("Distillation", !kept, sentence);
    }

    /// Short trainings with other rates: the change to one that is better by a margin.
    fn rates(&mut self, observer: &mut dyn ImproveObserver) -> Result<Option<String>, Error> {
        let recipe = self.recipe(&[], observer)?;
        let (peak, epochs) = (recipe.train.lr.peak, (recipe.train.epochs / 4).max(1));
        let mut found: Vec<(f64, Trained)> = Vec::new();
        for share in RATES {
            let rate = tidy(peak * share);
            let changes = short(rate, epochs);
            let told = format!("rate test, {rate:.2e}");
            found.push((
                rate,
                self.train(&told, &changes, false, self.chooser(), observer)?,
            ));
        }
        let of = |found: &(f64, Trained)| found.1.score.clone();
        let own = of(&found[1]);
        let best = found.iter().filter(|f| f.1.score.is_some());
        let best = best.reduce(|a, b| match (of(a), of(b)) {
            (Some(old), Some(new)) if is_better(&new, &old) => b,
            _ => a,
        });
        let shown = |f: &(f64, Trained)| match of(f) {
            Some(score) => format!("{:.3e}: {:.2}", f.0, score.value),
            None => format!("{:.3e}: no number", f.0),
        };
        let all: Vec<String> = found.iter().map(shown).collect();
        let change = best.and_then(|best| {
            let margin = match (&own, of(best)) {
                (Some(own), Some(score)) => own.better.gain(score.value, own.value),
                (None, _) => f64::INFINITY,
                _ => 0.0,
            };
            (margin >= RATE_MARGIN).then(|| format!("train.lr.peak={:?}", best.0))
        });
        let sentence = format!(
            "After {epochs} {} under a cosine, by highest rate: {}. {}",
            if epochs == 1 { "epoch" } else { "epochs" },
            all.join(", "),
            match &change {
                Some(_) => "Another one than the recipe's is ahead, and is compared in full.",
                None => "The recipe's is as good as any.",
            }
        );
        self.check("Rate test", change.is_some(), sentence);
        Ok(change)
    }

    /// Whether the student learns a few images by heart: a network, a loss and an optimiser that cannot are broken.
    fn overfits(
        &mut self,
        rate: &[String],
        observer: &mut dyn ImproveObserver,
    ) -> Result<bool, Error> {
        let recipe = self.recipe(rate, observer)?;
        let few = recipe.train.batch.min(FEW);
        let mut changes = short(recipe.train.lr.peak, STEPS);
        changes.extend(
            [
                "teacher=",
                "stages=",
                "ensemble=",
                "student.teachers=",
                "student.start=",
                "student.init_from=",
                "student.peers=",
                "student.mutual=",
                "objective={ cross_entropy = {} }",
                "data.augment=\"none\"",
                "data.mix=",
                "data.validation=0.2",
                "train.ema=",
                "train.accumulate=",
                "train.batches_per_epoch=",
            ]
            .map(String::from),
        );
        changes.push(format!("data.train_limit={few}"));
        let told = format!("{few} images learned by heart");
        let trained = self.train(&told, &changes, false, self.chooser(), observer)?;
        let loss = last_loss(&trained.folder)?;
        let guess = (self.task_classes() as f64).ln();
        let learned = trained.problem.is_none() && loss.is_some_and(|loss| loss <= LEARNED * guess);
        let loss = loss.map_or("no number".into(), |loss| format!("{loss:.3}"));
        let sentence = format!(
            "On {few} training images without augmentation, {STEPS} steps bring the cross-entropy from about {guess:.2} to \
             {loss} nats. {}",
            match learned {
                true => "Network, loss and optimiser work together.",
                false =>
                    "Network, loss and optimiser do not learn what they see: mend the learning rate, the network or the labels \
                     before anything else.",
            }
        );
        self.check("A small batch by heart", !learned, sentence);
        Ok(learned)
    }

    /// What the score of one image more or less is; 0 where it is no accuracy.
    pub(super) fn grain(&self) -> f64 {
        let accuracy = self
            .scores
            .first()
            .is_some_and(|score: &Score| score.key == "top1");
        match accuracy && self.found.images > 0 {
            true => 100.0 / self.found.images as f64,
            false => 0.0,
        }
    }
}

/// To three digits, as people write rates.
fn tidy(rate: f64) -> f64 {
    format!("{rate:.2e}").parse().unwrap_or(rate)
}

/// A short training at a rate.
fn short(rate: f64, epochs: usize) -> Vec<String> {
    [
        format!("train.lr.peak={rate:?}"),
        "train.lr.shape={ name = \"cosine\" }".into(),
        "train.lr.warmup_epochs=".into(),
        "train.lr.warmup_from_zero=".into(),
        "train.patience=".into(),
        format!("train.epochs={epochs}"),
    ]
    .into()
}

/// The cross-entropy of the last epoch of a run of labels alone.
fn last_loss(folder: &Path) -> Result<Option<f64>, Error> {
    let lines = text(&folder.join("metrics.jsonl"))?;
    let mut epochs = lines.lines().filter_map(|line| match Record::read(line) {
        Ok(Record::Epoch(epoch)) => epoch.components.get("cross_entropy").copied(),
        _ => None,
    });
    Ok(epochs.next_back().filter(|loss| loss.is_finite()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_training_has_no_warm_up_and_waits_for_nothing() {
        assert_eq!(
            [0.1 * 3.0, 0.05 * 3.0, 1e-3 / 3.0].map(tidy),
            [0.3, 0.15, 3.33e-4]
        );
        let changes = short(0.1 / 3.0, 2);
        assert!(
            changes.contains(&"train.epochs=2".into())
                && changes.contains(&"train.patience=".into())
        );
        assert!(
            changes[0].starts_with("train.lr.peak=0.0333"),
            "{}",
            changes[0]
        );
    }
}
