//! What a cache will need and save, told before a run.

use kd_core::Output;

use super::layout::Layout;
use super::{CacheConfig, Place, Views};
use crate::{Error, Recipe};

/// Bytes that finding an answer costs in memory: key and number, in a hash table that is between
/// half full and full.
const FIND: f64 = 26.0;
/// Bytes of key and checksum beside an answer in a file.
const BESIDE: f64 = 16.0;

/// How often the students of a run are shown a sample, in all trainings that the recipe's cache serves, of
/// all seeds together.
pub fn showings(recipe: &Recipe, seeds: usize, samples: usize) -> f64 {
    let plans = recipe.plans();
    let served = plans.iter().filter(|plan| plan.cached);
    let shown: f64 = served.map(|plan| plan.train.showings(samples)).sum();
    shown * seeds as f64
}

/// What is to be expected of a cache that is empty at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Views an image that the teacher will be asked for.
    pub views: f64,
    /// Share of the teacher's work that is saved, from 0 to 1.
    pub saved: f64,
}

impl Forecast {
    /// Of `n` draws among `v` views, `v · (1 − (1 − 1/v)ⁿ)` differ on average. A sample can be shown in
    /// `possible` views, and is shown so often ([`showings`]).
    pub fn new(config: &CacheConfig, possible: u64, shown: f64) -> Self {
        let possible = possible as f64;
        let draws = match config.views {
            Views::All => shown,
            Views::Count(count) => shown.min(count.get() as f64),
        };
        // The stable form of the formula: 1/v can be tiny.
        let views = -possible * (draws * (-1.0 / possible).ln_1p()).exp_m1();
        // A sample that is shown less than once has nothing to save.
        let shown = shown.max(f64::MIN_POSITIVE);
        Self {
            views,
            saved: (1.0 - views / shown).max(0.0),
        }
    }

    /// Bytes at the end, of the memory or of the file, for so many samples of which the teacher shows this.
    ///
    /// # Errors
    /// [`Error::Recipe`] when the configuration does not suit the teacher.
    pub fn bytes(&self, config: &CacheConfig, images: usize, shown: &Output) -> Result<u64, Error> {
        let answer = Layout::of(config, shown)?.bytes();
        let beside = match config.place {
            Place::Memory => FIND,
            Place::File => BESIDE,
        };
        Ok((self.views * images as f64 * (answer as f64 + beside)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use kd_data::Augment;

    use super::*;

    fn forecast(views: Views, augment: Augment, shown: f64) -> Forecast {
        let config = CacheConfig {
            views,
            ..CacheConfig::default()
        };
        Forecast::new(&config, augment.views((32, 32)), shown)
    }

    #[test]
    fn an_exact_cache_nearly_halves_240_epochs() {
        let all = forecast(Views::All, Augment::default(), 240.0);
        assert!((all.views - 125.4).abs() < 0.5, "{all:?}");
        assert!((all.saved - 0.477).abs() < 0.002, "{all:?}");

        // The same number by drawing.
        let (augment, size) = (Augment::default(), (32, 32));
        let distinct: usize = (0..200)
            .map(|index| {
                let draw = |epoch| augment.number(size, &augment.view(size, 1, epoch, index));
                (1..=240)
                    .map(draw)
                    .collect::<std::collections::HashSet<_>>()
                    .len()
            })
            .sum();
        assert!(
            (distinct as f64 / 200.0 - all.views).abs() < 1.0,
            "{distinct}"
        );
    }

    #[test]
    fn few_views_save_more_and_no_augmentation_nearly_all() {
        let count = |n| Views::Count(std::num::NonZeroU64::new(n).unwrap());
        let eight = forecast(count(8), Augment::default(), 240.0);
        assert!(eight.views > 7.7 && eight.views <= 8.0, "{eight:?}");
        assert!((eight.saved - 0.967).abs() < 0.002, "{eight:?}");
        // More views than epochs are those of the epochs.
        let many = forecast(count(1000), Augment::default(), 240.0);
        assert_eq!(many, forecast(Views::All, Augment::default(), 240.0));

        let still = forecast(Views::All, Augment::none(), 240.0);
        assert!((still.views - 1.0).abs() < 1e-9, "{still:?}");
        let holes = Augment {
            cutout: 8,
            ..Augment::default()
        };
        assert!(forecast(Views::All, holes, 240.0).saved < 0.001);
    }
}
