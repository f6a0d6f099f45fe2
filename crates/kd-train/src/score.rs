//! What a network is worth on a split: a list of named scores.

use serde::{Deserialize, Serialize};

use crate::records::nan_from_null;

/// The unit of a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unit {
    /// A bare number.
    #[default]
    Number,
    /// Percent, from 0 to 100.
    Percent,
    /// Nats, as of a cross-entropy.
    Nats,
}

impl Unit {
    /// What stands behind a number.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Percent => "%",
            Self::Number | Self::Nats => "",
        }
    }

    /// What a difference of two values is counted in.
    pub fn difference(self) -> &'static str {
        match self {
            Self::Percent => "points",
            Self::Nats => "nats",
            Self::Number => "",
        }
    }

    /// Decimals that a value is shown with.
    pub fn decimals(self) -> usize {
        match self {
            Self::Percent => 2,
            Self::Number | Self::Nats => 3,
        }
    }
}

/// Which values are better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Higher ones.
    #[default]
    Higher,
    /// Lower ones.
    Lower,
}

impl Better {
    /// By how much `new` is better than `old`, above 0 when it is.
    pub fn gain(self, new: f64, old: f64) -> f64 {
        match self {
            Self::Higher => new - old,
            Self::Lower => old - new,
        }
    }
}

/// One score of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Its name in files, such as `top1`.
    pub key: String,
    /// Its name for people, such as `top-1`.
    pub title: String,
    /// The unit of the value.
    pub unit: Unit,
    /// Which values are better.
    pub better: Better,
    /// The value.
    #[serde(deserialize_with = "nan_from_null")]
    pub value: f64,
}

impl Score {
    /// A score in percent of which more is better.
    pub fn percent(key: &str, title: &str, value: f64) -> Self {
        Self {
            key: key.into(),
            title: title.into(),
            unit: Unit::Percent,
            better: Better::Higher,
            value,
        }
    }

    /// A score in nats of which less is better.
    pub fn nats(key: &str, title: &str, value: f64) -> Self {
        Self {
            unit: Unit::Nats,
            better: Better::Lower,
            ..Self::percent(key, title, value)
        }
    }

    /// The same score with lower values as the better ones.
    pub fn lower_is_better(mut self) -> Self {
        self.better = Better::Lower;
        self
    }

    /// Title and unit, as over a column.
    pub fn heading(&self) -> String {
        format!("{} {}", self.title, self.unit.symbol())
            .trim_end()
            .into()
    }

    /// A value of this score with its decimals and unit, such as `71.30 %`.
    pub fn show(&self, value: f64) -> String {
        let decimals = self.unit.decimals();
        format!("{value:.decimals$} {}", self.unit.symbol())
            .trim_end()
            .into()
    }
}

/// The scores of a network on a split.
///
/// The first score selects the epoch that is kept and is the one that a gain is told of. Equal first
/// scores are told apart by the next ones.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The scores, the one that selects first.
    pub list: Vec<Score>,
    /// The first score of each class; none for a class without samples. Empty where a task has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub per_class: Vec<Option<f64>>,
    /// How the objects of each class were found; empty where a task has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<ClassFound>,
    /// The first score of as many test images drawn with replacement, draw by draw, the same draws for every network: what it
    /// would be of other images. Empty where a task has none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resampled: Vec<f64>,
}

/// How a detector finds the objects of a class. Sizes are all, small, medium and large, by COCO's areas: up to 32² pixels, up
/// to 96² and above.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClassFound {
    /// Objects of each size; crowds are not among them.
    pub objects: [usize; 4],
    /// Average precision of each size in percent, over IoU 0.50 to 0.95; none without such objects.
    pub ap: [Option<f64>; 4],
    /// Precision in percent, to a hundredth, at recalls of 0, 1, .. 100 %, at IoU 0.50 and at IoU 0.75; empty without objects.
    pub precision: [Vec<f64>; 2],
}

impl Scores {
    /// The score that selects.
    pub fn first(&self) -> Option<&Score> {
        self.list.first()
    }

    /// The value of a score, by its key.
    pub fn get(&self, key: &str) -> Option<f64> {
        let score = self.list.iter().find(|score| score.key == key)?;
        Some(score.value)
    }

    /// Whether the first score is better than that of others of the same task.
    pub fn first_better_than(&self, other: &Self) -> bool {
        match (self.first(), other.first()) {
            (Some(new), Some(old)) => new.better.gain(new.value, old.value) > 0.0,
            _ => false,
        }
    }

    /// Whether these are better than others of the same task. A value that is no number is never
    /// better.
    pub fn better_than(&self, other: &Self) -> bool {
        for (new, old) in self.list.iter().zip(&other.list) {
            let gain = new.better.gain(new.value, old.value);
            if gain != 0.0 {
                return gain > 0.0;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(top1: f64, loss: f64) -> Scores {
        Scores {
            list: vec![
                Score::percent("top1", "top-1", top1),
                Score::nats("loss", "cross-entropy", loss),
            ],
            ..Scores::default()
        }
    }

    #[test]
    fn the_first_score_selects_and_the_next_tells_equal_ones_apart() {
        let old = scores(70.0, 1.0);
        assert!(scores(71.0, 9.0).better_than(&old));
        assert!(!scores(69.0, 0.1).better_than(&old));
        assert!(scores(70.0, 0.9).better_than(&old));
        assert!(!scores(70.0, 1.1).better_than(&old));
        assert!(!old.better_than(&old));
        assert!(!scores(f64::NAN, 0.0).better_than(&old));
        assert!(!scores(70.0, f64::NAN).better_than(&old));
    }

    #[test]
    fn a_score_shows_its_unit() {
        let scores = scores(70.0, 1.0);
        assert_eq!(scores.list[0].heading(), "top-1 %");
        assert_eq!(scores.list[0].show(71.3), "71.30 %");
        assert_eq!(scores.list[1].heading(), "cross-entropy");
        assert_eq!(scores.list[1].show(1.0), "1.000");
        assert_eq!(scores.get("loss"), Some(1.0));
    }
}
