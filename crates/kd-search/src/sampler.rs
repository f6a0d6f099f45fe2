//! Points of a space, one after the other.

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};
use serde::{Deserialize, Serialize};
use tpe::density_estimation::DefaultEstimatorBuilder;
use tpe::range::Range;
use tpe::{TpeOptimizer, categorical_range, histogram_estimator, parzen_estimator, range};

use crate::Error;
use crate::space::{Parameter, Point, Space, Value, Values};

/// Random points before TPE has something to learn from.
const FIRST: usize = 10;

/// Points of a grid, at most.
const MOST: usize = 1_000_000;

/// How points are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Every combination, the last parameter fastest.
    Grid,
    /// Independently, uniform over each parameter (Bergstra, Bengio, JMLR 2012).
    Random,
    /// Tree-structured Parzen estimators: where good trials are dense and others are not (Bergstra et al., NeurIPS 2011).
    Tpe,
}

/// Gives points of a space.
#[derive(Clone, Debug)]
pub struct Sampler {
    space: Space,
    method: Method,
    seed: u64,
}

impl Sampler {
    /// A sampler whose points follow from the seed.
    ///
    /// # Errors
    /// As [`Space::check`], for a space without parameters, and for a grid of more than a million points.
    pub fn new(space: Space, method: Method, seed: u64) -> Result<Self, Error> {
        space.check()?;
        if space.parameters.is_empty() {
            let problem = "the space has no parameters: name one at least";
            return Err(Error(problem.into()));
        }
        if method == Method::Grid && space.combinations() > MOST {
            return Err(Error(format!(
                "a grid of more than {MOST} points: give fewer steps or choices, or another method"
            )));
        }
        Ok(Self {
            space,
            method,
            seed,
        })
    }

    /// The point of a trial, counted from 0, given finished trials with their scores, of which higher ones are better; none when
    /// a grid is through.
    ///
    /// Scores that are not finite count as worse than all others. A grid and random points do not depend on what is finished.
    pub fn point(&self, number: usize, finished: &[(Point, f64)]) -> Option<Point> {
        // A generator of its own for every trial, so that a search goes on where it was stopped.
        let mut random =
            StdRng::seed_from_u64(self.seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let parameters = &self.space.parameters;
        match self.method {
            Method::Grid => self.of_grid(number),
            Method::Tpe if finished.len() >= FIRST => {
                let values = parameters.iter().enumerate();
                let values =
                    values.map(|(at, parameter)| learned(parameter, at, finished, &mut random));
                Some(Point(values.collect()))
            }
            _ => {
                let values = parameters.iter().map(|p| p.values.at(random.random()));
                Some(Point(values.collect()))
            }
        }
    }

    fn of_grid(&self, number: usize) -> Option<Point> {
        let mut left = number;
        let mut values: Vec<Value> = Vec::new();
        for parameter in self.space.parameters.iter().rev() {
            let len = parameter.values.grid_len();
            values.push(parameter.values.of_grid(left % len));
            left /= len;
        }
        values.reverse();
        (left == 0).then_some(Point(values))
    }
}

/// The range that the estimator sees; none for a parameter that has one value.
fn seen(values: &Values) -> Option<(DefaultEstimatorBuilder, Range)> {
    let found = match values {
        Values::Choice { choice } => (histogram_estimator(), categorical_range(choice.len())),
        Values::Int { least, most } => (parzen_estimator(), range(0.0, (most - least + 1) as f64)),
        Values::Float { .. } => (parzen_estimator(), range(0.0, 1.0)),
    };
    Some((found.0, found.1.ok()?))
}

/// Where a value is in the range that the estimator sees.
fn place(values: &Values, value: f64) -> f64 {
    match values {
        Values::Choice { .. } => value,
        Values::Int { least, .. } => value - *least as f64 + 0.5,
        // The range is without its upper end.
        Values::Float { .. } => values.share(value).min(1.0 - 1e-9),
    }
}

fn learned(
    parameter: &Parameter,
    at: usize,
    finished: &[(Point, f64)],
    random: &mut impl Rng,
) -> Value {
    let values = &parameter.values;
    let asked = seen(values).and_then(|(estimator, range)| {
        let mut optimizer = TpeOptimizer::new(estimator, range);
        for (point, score) in finished {
            // It minimises.
            let value = if score.is_finite() {
                -score
            } else {
                f64::INFINITY
            };
            optimizer
                .tell(place(values, point.number(at)), value)
                .ok()?;
        }
        optimizer.ask(random).ok()
    });
    let share = match (asked, values) {
        (None, _) => random.random(),
        (Some(asked), Values::Choice { choice }) => (asked.floor() + 0.5) / choice.len() as f64,
        (Some(asked), Values::Int { least, most }) => asked / (most - least + 1) as f64,
        (Some(asked), Values::Float { .. }) => asked,
    };
    values.at(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        let mut space = Space::default();
        space.float("temperature", 1.0, 16.0, true).unwrap();
        space.float("weight", 0.0, 1.0, false).unwrap();
        space.int("level", 1, 3).unwrap();
        space.choice("term", &["at", "fitnet"]).unwrap();
        space
    }

    /// Best, 0, at T = 4, weight 0.8, level 2 and `fitnet`.
    fn score(point: &Point) -> f64 {
        let [t, w, level, term] = [0, 1, 2, 3].map(|at| point.number(at));
        -((t / 4.0).log2().powi(2)
            + 8.0 * (w - 0.8).powi(2)
            + 0.3 * (level - 2.0).abs()
            + 0.5 * (1.0 - term))
    }

    fn search(method: Method, seed: u64, trials: usize) -> Vec<(Point, f64)> {
        let sampler = Sampler::new(space(), method, seed).unwrap();
        let mut finished = Vec::new();
        for number in 0..trials {
            let point = sampler.point(number, &finished).unwrap();
            let score = score(&point);
            finished.push((point, score));
        }
        finished
    }

    fn regret(found: &[(Point, f64)]) -> f64 {
        -found
            .iter()
            .map(|(_, s)| *s)
            .fold(f64::NEG_INFINITY, f64::max)
    }

    #[test]
    fn tpe_is_closer_to_the_best_than_random_points_at_equal_cost() {
        let of = |method| -> Vec<f64> {
            (1..=5)
                .map(|seed| regret(&search(method, seed, 60)))
                .collect()
        };
        let (tpe, random) = (of(Method::Tpe), of(Method::Random));
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        println!(
            "regret at 60 trials, seeds 1 to 5: TPE {tpe:.4?} (mean {:.4}), random {random:.4?} (mean {:.4})",
            mean(&tpe),
            mean(&random)
        );
        let wins = tpe.iter().zip(&random).filter(|(a, b)| a < b).count();
        assert!(
            mean(&tpe) < 0.5 * mean(&random) && wins >= 4,
            "{tpe:?} {random:?}"
        );
    }

    #[test]
    fn a_search_goes_on_with_the_points_that_it_would_have_had() {
        for method in [Method::Random, Method::Tpe] {
            let whole = search(method, 3, 30);
            let sampler = Sampler::new(space(), method, 3).unwrap();
            assert_eq!(sampler.point(20, &whole[..20]).unwrap(), whole[20].0);
            assert_ne!(search(method, 4, 1)[0].0, whole[0].0);
        }
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let sampler = Sampler::new(space(), Method::Grid, 0).unwrap();
        let all: Vec<Point> = (0..)
            .map_while(|number| sampler.point(number, &[]))
            .collect();
        assert_eq!(all.len(), 5 * 5 * 3 * 2);
        assert!(
            all.iter()
                .enumerate()
                .all(|(at, point)| !all[..at].contains(point))
        );
        let near = |value: f64, wanted: f64| (value - wanted).abs() < 1e-9;
        assert!(
            near(all[0].number(0), 1.0)
                && near(all[60].number(0), 4.0)
                && near(all[149].number(0), 16.0)
        );
    }

    #[test]
    fn values_stay_inside_and_bad_scores_are_taken() {
        let sampler = Sampler::new(space(), Method::Tpe, 1).unwrap();
        let mut finished = Vec::new();
        for number in 0..80 {
            let point = sampler.point(number, &finished).unwrap();
            assert!(
                (1.0..=16.0).contains(&point.number(0)) && (0.0..=1.0).contains(&point.number(1))
            );
            assert!((1.0..=3.0).contains(&point.number(2)) && point.number(3) <= 1.0);
            finished.push((
                point,
                if number % 3 == 0 {
                    f64::NAN
                } else {
                    number as f64
                },
            ));
        }
    }

    #[test]
    fn mistakes_in_a_space_name_the_parameter_and_the_cure() {
        let mut space = Space::default();
        let message = space.float("t", 0.0, 1.0, true).unwrap_err().to_string();
        assert!(
            message.contains("`t`: from = 0 has no logarithm"),
            "{message}"
        );
        let mut space = Space::default();
        space.int("n", 1, 2).unwrap();
        assert!(
            space
                .int("n", 1, 2)
                .unwrap_err()
                .to_string()
                .contains("twice")
        );
        assert!(Sampler::new(Space::default(), Method::Tpe, 0).is_err());
        let read: Space = toml::from_str(
            "[[parameters]]\nname = \"objective.kd.temperature\"\nvalues = { from = 1.0, to = 16.0, log = true }\n\
             [[parameters]]\nname = \"student.model\"\nvalues = { choice = [\"resnet8\", \"resnet14\"] }\n",
        )
        .unwrap();
        read.check().unwrap();
        assert_eq!(read.parameters[0].values.grid().len(), 5);
    }
}
