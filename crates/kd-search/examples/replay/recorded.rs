//! Searches on recorded learning curves: what a scheduler finds at which cost, without training.

use kd_search::Asha;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replayed {
    /// Epochs that were trained.
    pub cost: usize,
    /// How much worse the settings that it chose are, trained to the end, than the best of all. 0 is the best.
    pub regret: f64,
}

/// Learning curves of settings, each over all epochs, of which higher values are better.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    curves: Vec<Vec<f64>>,
}

impl Recorded {
    /// Of at least one curve; all have the same epochs.
    ///
    /// # Errors
    /// For no curve, curves of several lengths, and values that are no number.
    pub fn new(curves: Vec<Vec<f64>>) -> Result<Self, String> {
        let epochs = curves.first().map_or(0, Vec::len);
        if epochs == 0 {
            return Err("there is no recorded curve".into());
        }
        if let Some(at) = curves.iter().position(|curve| curve.len() != epochs) {
            return Err(format!(
                "curve {at} has {} epochs and the first has {epochs}: record all to the end",
                curves[at].len()
            ));
        }
        if curves.iter().flatten().any(|value| !value.is_finite()) {
            return Err("a recorded value is no number".into());
        }
        Ok(Self { curves })
    }

    /// Settings.
    pub fn settings(&self) -> usize {
        self.curves.len()
    }

    /// Epochs of every curve.
    pub fn epochs(&self) -> usize {
        self.curves[0].len()
    }

    /// The best value of a curve so far.
    fn at(&self, setting: usize, epochs: usize) -> f64 {
        let so_far = self.curves[setting].iter().take(epochs).copied();
        so_far.fold(f64::NEG_INFINITY, f64::max)
    }

    fn regret(&self, chosen: usize) -> f64 {
        let all = (0..self.settings()).map(|setting| self.at(setting, self.epochs()));
        let best = all.fold(f64::NEG_INFINITY, f64::max);
        best - self.at(chosen, self.epochs())
    }

    /// ASHA over the settings in an order that follows from a seed, until it is done. The best of the trials that came furthest
    /// is chosen.
    ///
    /// # Errors
    /// As [`Asha::new`].
    pub fn asha(&self, least: usize, eta: usize, seed: u64) -> Result<Replayed, String> {
        let order = shuffled(self.settings(), seed);
        let asha = Asha::new(least, self.epochs(), eta, order.len());
        let mut asha = asha.map_err(|problem| problem.to_string())?;
        let mut trained = vec![0; order.len()];
        while let Some(job) = asha.next_job() {
            trained[job.trial] = job.epochs;
            asha.ended(job, self.at(order[job.trial], job.epochs));
        }
        let furthest = trained.iter().copied().max().unwrap_or(0);
        let whole = (0..order.len()).filter(|trial| trained[*trial] == furthest);
        let value = |trial: &usize| self.at(order[*trial], furthest);
        let best = whole.max_by(|a, b| value(a).total_cmp(&value(b)));
        Ok(Replayed {
            cost: trained.iter().sum(),
            regret: self.regret(best.map_or(order[0], |trial| order[trial])),
        })
    }

    /// As many settings trained to the end as a cost allows, one at least, in the same order. The best is chosen.
    pub fn random(&self, cost: usize, seed: u64) -> Replayed {
        let order = shuffled(self.settings(), seed);
        let count = (cost / self.epochs()).clamp(1, order.len());
        let value = |setting: &usize| self.at(*setting, self.epochs());
        let best = order[..count].iter().copied();
        let best = best.max_by(|a, b| value(a).total_cmp(&value(b)));
        Replayed {
            cost: count * self.epochs(),
            regret: self.regret(best.unwrap_or(order[0])),
        }
    }
}

/// The numbers below `count` in an order that follows from a seed.
fn shuffled(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut StdRng::seed_from_u64(seed));
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Settings whose curves rise to their own height and never cross.
    fn space() -> Recorded {
        let curve = |height: f64| (1..=9).map(move |epoch| height * (1.0 - 0.5 / f64::from(epoch)));
        let heights = (0..27).map(|setting| f64::from((setting * 10) % 27));
        Recorded::new(heights.map(|height| curve(height).collect()).collect()).unwrap()
    }

    #[test]
    fn asha_finds_the_best_where_curves_do_not_cross() {
        for seed in 0..20 {
            let found = space().asha(1, 3, seed).unwrap();
            assert_eq!(found.regret, 0.0, "seed {seed}");
            // Not every trial goes on: less than all to the end.
            assert!(found.cost < 27 * 9 / 2, "{found:?}");
        }
    }

    #[test]
    fn random_trains_what_its_cost_allows_and_regrets_what_it_did_not_see() {
        let space = space();
        assert_eq!(space.random(27 * 9, 1).regret, 0.0);
        let few: Vec<Replayed> = (0..50).map(|seed| space.random(30, seed)).collect();
        assert!(few.iter().all(|found| found.cost == 27));
        let mean = few.iter().map(|f| f.regret).sum::<f64>() / 50.0;
        // The best of 3 of 27 even steps is 26 − (3 · 28 / 4 − 1) = 6 below the best on average.
        assert!((mean - 6.0).abs() < 1.5, "{mean}");
        assert_eq!(space.random(0, 1).cost, 9);
    }

    #[test]
    fn what_is_no_record_is_named() {
        for (curves, part) in [
            (vec![], "no recorded curve"),
            (vec![vec![1.0, 2.0], vec![1.0]], "curve 1 has 1 epochs"),
            (vec![vec![f64::NAN]], "no number"),
        ] {
            let message = Recorded::new(curves).unwrap_err();
            assert!(message.contains(part), "{message}");
        }
    }
}
