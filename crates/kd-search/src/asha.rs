//! Asynchronous successive halving: many trials train briefly, and the best of them go on.

use crate::Error;

/// Says which trial trains next, and for how many epochs in all.
///
/// A trial begins with `least` epochs. Of the trials that finished a rung of `least · ηᵏ` epochs, the best `1/η` may go on to the
/// next, as soon as there are `η` of them; nobody waits for the others.
///
/// Source: L. Li, K. Jamieson, A. Rostamizadeh, E. Gonina, J. Ben-tzur, M. Hardt, B. Recht, A. Talwalkar, "A System for Massively
/// Parallel Hyperparameter Tuning", MLSys 2020.
#[derive(Clone, Debug, PartialEq)]
pub struct Asha {
    /// Epochs of each rung.
    rungs: Vec<usize>,
    eta: usize,
    /// By rung: trials with their scores, none for those that are on their way.
    entered: Vec<Vec<(usize, Option<f64>)>>,
    trials: usize,
    most_trials: usize,
}

/// Train a trial for so many epochs in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// The trial, counted from 0.
    pub trial: usize,
    /// Its rung, counted from 0.
    pub rung: usize,
    /// Epochs in all.
    pub epochs: usize,
}

impl Asha {
    /// Rungs from `least` to `most` epochs, for so many trials.
    ///
    /// # Errors
    /// [`Error`] unless `1 ≤ least ≤ most`, `η ≥ 2` and there is a trial.
    pub fn new(least: usize, most: usize, eta: usize, trials: usize) -> Result<Self, Error> {
        if least < 1 || least > most {
            return Err(Error(format!(
                "least = {least} epochs must be 1 at least and not above most = {most}"
            )));
        }
        if eta < 2 || trials < 1 {
            return Err(Error(format!(
                "eta = {eta} must be 2 at least, and trials = {trials} 1 at least"
            )));
        }
        let mut rungs = vec![least];
        while let Some(next) = rungs
            .last()
            .map(|last| last * eta)
            .filter(|next| *next < most)
        {
            rungs.push(next);
        }
        if least < most {
            rungs.push(most);
        }
        Ok(Self {
            entered: vec![Vec::new(); rungs.len()],
            rungs,
            eta,
            trials: 0,
            most_trials: trials,
        })
    }

    /// The next job: the best trial that may go on, from the highest rung, else a new trial. None when nothing is to be done until
    /// another job ends, or ever.
    pub fn next_job(&mut self) -> Option<Job> {
        for rung in (1..self.rungs.len()).rev() {
            if let Some(trial) = self.promotable(rung - 1) {
                return Some(self.enter(trial, rung));
            }
        }
        (self.trials < self.most_trials).then(|| {
            self.trials += 1;
            self.enter(self.trials - 1, 0)
        })
    }

    fn enter(&mut self, trial: usize, rung: usize) -> Job {
        self.entered[rung].push((trial, None));
        Job {
            trial,
            rung,
            epochs: self.rungs[rung],
        }
    }

    /// The best trial of a rung that is among its best `1/η` and has not gone on.
    fn promotable(&self, rung: usize) -> Option<usize> {
        let scored = self.entered[rung].iter();
        let mut scored: Vec<(usize, f64)> = scored.filter_map(|(t, s)| Some((*t, (*s)?))).collect();
        // A score that is no number is the worst.
        let key = |score: f64| {
            if score.is_nan() {
                f64::NEG_INFINITY
            } else {
                score
            }
        };
        scored.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0)));
        let best = &scored[..scored.len() / self.eta];
        let gone = |trial: usize| self.entered[rung + 1].iter().any(|(t, _)| *t == trial);
        best.iter()
            .map(|(trial, _)| *trial)
            .find(|trial| !gone(*trial))
    }

    /// The score of a job that ended, of which higher ones are better.
    pub fn ended(&mut self, job: Job, score: f64) {
        let entered = self.entered.get_mut(job.rung);
        let trial = entered.and_then(|e| e.iter_mut().find(|(trial, _)| *trial == job.trial));
        if let Some((_, known)) = trial {
            *known = Some(score);
        }
    }

    /// The best trial of the highest rung that has a score, with it.
    pub fn best(&self) -> Option<(usize, f64)> {
        self.entered.iter().rev().find_map(|rung| {
            let scored = rung.iter().filter_map(|(t, s)| Some((*t, (*s)?)));
            let numbers = scored.filter(|(_, s)| !s.is_nan());
            numbers.max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
        })
    }

    /// Epochs of each rung.
    pub fn rungs(&self) -> &[usize] {
        &self.rungs
    }
}

#[cfg(test)]
mod tests {
    use kd_goldens::uniform;

    use super::*;

    #[test]
    fn rungs_grow_by_the_factor_and_end_at_the_most() {
        let rungs = |least, most, eta| Asha::new(least, most, eta, 9).unwrap().rungs().to_vec();
        assert_eq!(rungs(1, 27, 3), [1, 3, 9, 27]);
        assert_eq!(rungs(2, 20, 4), [2, 8, 20]);
        assert_eq!(rungs(5, 5, 2), [5]);
        assert!(
            Asha::new(0, 4, 2, 1).is_err()
                && Asha::new(2, 1, 2, 1).is_err()
                && Asha::new(1, 2, 1, 1).is_err()
        );
    }

    #[test]
    fn the_best_third_goes_on_and_a_bad_number_never() {
        let mut asha = Asha::new(1, 9, 3, 6).unwrap();
        let scores = [0.5, f64::NAN, 0.9, 0.1, 0.8, 0.2];
        let mut order = Vec::new();
        while let Some(job) = asha.next_job() {
            order.push((job.trial, job.epochs));
            asha.ended(job, scores[job.trial]);
        }
        // After three trials the best of them goes on; after six the second of two.
        assert_eq!(
            order,
            [
                (0, 1),
                (1, 1),
                (2, 1),
                (2, 3),
                (3, 1),
                (4, 1),
                (5, 1),
                (4, 3)
            ]
        );
        assert_eq!(asha.best(), Some((2, 0.9)));
    }

    #[test]
    fn jobs_beside_each_other_are_not_given_twice() {
        let mut asha = Asha::new(1, 3, 3, 4).unwrap();
        let jobs: Vec<Job> = std::iter::from_fn(|| asha.next_job()).collect();
        assert_eq!(
            jobs.iter().map(|j| j.trial).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        jobs[..3]
            .iter()
            .for_each(|job| asha.ended(*job, job.trial as f64));
        assert_eq!(asha.next_job().map(|j| (j.trial, j.epochs)), Some((2, 3)));
        assert_eq!(asha.next_job(), None);
    }

    /// What a trial shows after so many epochs: it nears its own best by half-lives of its own, with noise.
    fn shown(best: f64, half_life: f64, noise: f64, epochs: usize) -> f64 {
        let left = 0.5f64.powf(epochs as f64 / half_life);
        best - 30.0 * left + noise / (epochs as f64).sqrt()
    }

    #[test]
    fn asha_is_closer_to_the_best_than_full_trainings_at_equal_cost() {
        const EPOCHS: usize = 27;
        const BUDGET: usize = 20 * EPOCHS;
        let mut regrets = Vec::new();
        for seed in 1..=5 {
            let [bests, lives, noises] =
                ["best", "life", "noise"].map(|key| uniform(&format!("{seed}/{key}"), 400));
            let best = |t: usize| 80.0 - 15.0 * bests[t].abs();
            let score =
                |t: usize, epochs| shown(best(t), 3.0 + 1.5 * lives[t], 1.5 * noises[t], epochs);
            let goal = 80.0;
            let full =
                (0..BUDGET / EPOCHS).max_by(|a, b| score(*a, EPOCHS).total_cmp(&score(*b, EPOCHS)));
            let mut asha = Asha::new(1, EPOCHS, 3, 400).unwrap();
            let mut cost = 0;
            while let Some(job) = asha.next_job() {
                // A trial that goes on begins anew, because its learning rate follows from its epochs.
                cost += job.epochs;
                if cost > BUDGET {
                    break;
                }
                asha.ended(job, score(job.trial, job.epochs));
            }
            regrets.push((
                goal - best(asha.best().unwrap().0),
                goal - best(full.unwrap()),
            ));
        }
        let mean = |pick: fn(&(f64, f64)) -> f64| regrets.iter().map(pick).sum::<f64>() / 5.0;
        let (asha, random) = (mean(|r| r.0), mean(|r| r.1));
        println!(
            "regret in points at the cost of 20 full trainings, (ASHA, random) by seed: {regrets:.3?}, means {asha:.3} and {random:.3}"
        );
        assert!(asha < 0.7 * random, "{regrets:?}");
        assert!(
            regrets.iter().filter(|(a, r)| a <= r).count() >= 4,
            "{regrets:?}"
        );
    }
}
