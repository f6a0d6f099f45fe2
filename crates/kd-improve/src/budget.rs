//! What may be spent, and what is left of it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Spent;

/// What the whole procedure may cost.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Budget {
    /// So many trainings of the recipe's length; a shorter one counts by its epochs.
    Trainings(usize),
    /// So many seconds.
    Seconds(f64),
}

/// As text: `40`, `2h`, `90m`, `1h30m`, `45s`.
impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` is no budget: write a time such as 2h, 90m or 1h30m, or a number of trainings such as 60"
            )
        };
        if let Ok(trainings) = text.parse::<usize>() {
            return match trainings {
                0 => Err(wrong()),
                trainings => Ok(Self::Trainings(trainings)),
            };
        }
        let (mut seconds, mut number) = (0.0, String::new());
        for letter in text.chars() {
            let unit = match letter {
                'h' => 3600.0,
                'm' => 60.0,
                's' => 1.0,
                digit => {
                    number.push(digit);
                    continue;
                }
            };
            let count: f64 = number.parse().map_err(|_| wrong())?;
            seconds += count * unit;
            number.clear();
        }
        match number.is_empty() && seconds.is_finite() && seconds > 0.0 {
            true => Ok(Self::Seconds(seconds)),
            false => Err(wrong()),
        }
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trainings(1) => f.write_str("1 training"),
            Self::Trainings(count) => write!(f, "{count} trainings"),
            Self::Seconds(seconds) => f.write_str(&duration(*seconds)),
        }
    }
}

/// `45 s`, `12 min`, `1 h 30 min`.
pub(crate) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0 | 1 if seconds < 90.0 => format!("{seconds:.0} s"),
        1..60 => format!("{minutes} min"),
        _ if minutes.is_multiple_of(60) => format!("{} h", minutes / 60),
        _ => format!("{} h {} min", minutes / 60, minutes % 60),
    }
}

/// What a budget still allows.
#[derive(Clone, Debug)]
pub struct Ledger {
    /// All that may be spent.
    pub budget: Budget,
    /// What was.
    pub spent: Spent,
    /// Seconds of one training of the recipe's length, by those that were done; none before the first.
    pub unit: Option<f64>,
}

/// What there is room for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many candidates, of which one is compared seed by seed. A single one need not be chosen.
    Candidates(usize),
    /// Nothing, and why.
    None(String),
}

impl Ledger {
    /// Nothing is spent yet.
    pub fn new(budget: Budget) -> Self {
        Self {
            budget,
            spent: Spent::default(),
            unit: None,
        }
    }

    /// Trainings that still fit; infinite for a time before the first training says how long one takes.
    pub fn left(&self) -> f64 {
        let left = match (self.budget, self.unit) {
            (Budget::Trainings(all), _) => all as f64 - self.spent.trainings,
            (Budget::Seconds(_), None) => f64::INFINITY,
            (Budget::Seconds(all), Some(unit)) => (all - self.spent.seconds) / unit.max(1e-9),
        };
        left.max(0.0)
    }

    /// Whether a training more is too much.
    pub fn is_over(&self, cost: f64) -> bool {
        // Shares of epochs are no exact numbers.
        self.left() + 1e-6 < cost
    }

    /// How many of the wanted candidates fit, each of which costs `screen` trainings to be looked at, beside the `confirm`
    /// trainings of the comparison. One candidate is not looked at beforehand.
    pub fn room(&self, wanted: usize, screen: f64, confirm: f64) -> Room {
        if wanted == 0 {
            return Room::None("there is nothing to try".into());
        }
        if self.is_over(confirm) {
            return Room::None(format!(
                "the budget has room for {:.1} more trainings, and the comparison alone needs {confirm:.0}",
                self.left()
            ));
        }
        let fit = ((self.left() + 1e-6 - confirm) / screen.max(1e-9)).floor();
        let fit = if fit >= wanted as f64 {
            wanted
        } else {
            fit as usize
        };
        Room::Candidates(fit.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_people_write_them() {
        for (text, want, shown) in [
            ("40", Budget::Trainings(40), "40 trainings"),
            ("2h", Budget::Seconds(7200.0), "2 h"),
            ("90m", Budget::Seconds(5400.0), "1 h 30 min"),
            ("1h30m", Budget::Seconds(5400.0), "1 h 30 min"),
            ("0.5h", Budget::Seconds(1800.0), "30 min"),
            ("45s", Budget::Seconds(45.0), "45 s"),
        ] {
            let read: Budget = text.parse().unwrap();
            assert_eq!((read, read.to_string().as_str()), (want, shown));
        }
        for wrong in [
            "", "0", "-3", "h", "2x", "2h3", "0s", "soon", "nanh", "infh",
        ] {
            let message = wrong.parse::<Budget>().unwrap_err();
            assert!(message.contains("2h, 90m"), "{message}");
        }
    }

    fn ledger(budget: Budget, trainings: f64, seconds: f64) -> Ledger {
        Ledger {
            spent: Spent { trainings, seconds },
            unit: Some(10.0),
            ..Ledger::new(budget)
        }
    }

    #[test]
    fn a_time_is_counted_in_trainings_by_how_long_one_takes() {
        assert_eq!(Ledger::new(Budget::Seconds(60.0)).left(), f64::INFINITY);
        assert_eq!(ledger(Budget::Seconds(100.0), 3.0, 40.0).left(), 6.0);
        assert_eq!(ledger(Budget::Trainings(8), 3.0, 4e9).left(), 5.0);
        assert_eq!(ledger(Budget::Trainings(2), 3.0, 0.0).left(), 0.0);
    }

    #[test]
    fn fewer_candidates_are_tried_when_there_is_less_room() {
        let of = |left: usize| ledger(Budget::Trainings(left), 0.0, 0.0).room(4, 1.0, 5.0);
        assert_eq!(of(9), Room::Candidates(4));
        assert_eq!(of(100), Room::Candidates(4));
        assert_eq!(of(7), Room::Candidates(2));
        // Room for one is room for one that is not looked at beforehand.
        assert_eq!(of(6), Room::Candidates(1));
        assert_eq!(of(5), Room::Candidates(1));
        let Room::None(why) = of(4) else { panic!() };
        assert!(
            why.contains("4.0 more trainings") && why.contains("needs 5"),
            "{why}"
        );
        let Room::None(_) = ledger(Budget::Trainings(9), 0.0, 0.0).room(0, 1.0, 5.0) else {
            panic!()
        };
    }
}
