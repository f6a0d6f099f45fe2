//! A number that changes over training: the weight of a term, for one.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Step};

/// A constant, or a value that depends on the epoch (counted from 1).
///
/// A recipe spells a constant as a number and the rest as a table:
/// `{ schedule = "linear_warmup", to = 0.9, epochs = 20 }`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Schedule {
    /// The same value at every step.
    Constant(f64),
    /// One of the shapes that change.
    Varying(Varying),
}

/// The shapes of a [`Schedule`] that change over epochs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "schedule", rename_all = "snake_case", deny_unknown_fields)]
pub enum Varying {
    /// `to · min(epoch / epochs, 1)`.
    LinearWarmup {
        /// Value from the end of the warm-up on.
        to: f64,
        /// Length of the warm-up, in epochs.
        epochs: usize,
    },
    /// Half a cosine from `from` at the first epoch to `to` at the last.
    Cosine {
        /// Value at the first epoch.
        from: f64,
        /// Value at the last epoch.
        to: f64,
    },
    /// `value · factorᵏ`, `k` the number of milestones that lie before the epoch.
    Step {
        /// Value at the first epoch.
        value: f64,
        /// Epochs after which the value changes.
        milestones: Vec<usize>,
        /// Factor at each milestone.
        factor: f64,
    },
    /// `values[k]`, `k` the number of milestones that lie before the epoch: any steps, such as none at all in
    /// the first epoch with `values = [0.0, 50.0]` and `milestones = [1]`.
    Piecewise {
        /// Value up to the first milestone, then one for each milestone.
        values: Vec<f64>,
        /// Epochs after which the value changes, in ascending order.
        milestones: Vec<usize>,
    },
}

impl Schedule {
    /// The value at a step.
    pub fn at(&self, step: &Step) -> f64 {
        let epoch = step.epoch as f64;
        match self {
            Self::Constant(value) => *value,
            Self::Varying(Varying::LinearWarmup { to, epochs }) => {
                to * (epoch / (*epochs).max(1) as f64).min(1.0)
            }
            Self::Varying(Varying::Cosine { from, to }) => {
                let last = step.epochs.saturating_sub(1).max(1) as f64;
                let progress = ((epoch - 1.0) / last).clamp(0.0, 1.0);
                to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
            }
            Self::Varying(Varying::Step {
                value,
                milestones,
                factor,
            }) => {
                let passed = milestones.iter().filter(|&&m| step.epoch > m).count();
                value * factor.powi(passed as i32)
            }
            Self::Varying(Varying::Piecewise { values, milestones }) => {
                let passed = milestones.iter().filter(|&&m| step.epoch > m).count();
                // As many as `validate` asks for; a schedule that was not validated keeps its last.
                let value = values.get(passed).or(values.last());
                value.copied().unwrap_or(0.0)
            }
        }
    }

    /// Refuses values that are not finite.
    ///
    /// # Errors
    /// [`Error::Config`] that names `key`.
    pub fn validate(&self, key: &str) -> Result<(), Error> {
        self.refuse(key, "must be a finite number", |_| true)
    }

    /// Refuses values that are not finite and at least 0 at every epoch.
    ///
    /// # Errors
    /// [`Error::Config`] that names `key`.
    pub fn validate_not_negative(&self, key: &str) -> Result<(), Error> {
        let expected = "must be a number of at least 0 at every epoch";
        self.refuse(key, expected, |n| n >= 0.0)
    }

    /// Refuses values that are not finite and above 0 at every epoch.
    ///
    /// # Errors
    /// [`Error::Config`] that names `key`.
    pub fn validate_positive(&self, key: &str) -> Result<(), Error> {
        self.refuse(key, "must be a number above 0 at every epoch", |n| n > 0.0)
    }

    fn refuse(&self, key: &str, expected: &str, fits: fn(f64) -> bool) -> Result<(), Error> {
        self.check_steps(key)?;
        let numbers = match self {
            Self::Constant(value) => vec![("", *value)],
            Self::Varying(Varying::LinearWarmup { to, .. }) => vec![(".to", *to)],
            Self::Varying(Varying::Cosine { from, to }) => vec![(".from", *from), (".to", *to)],
            Self::Varying(Varying::Step { value, factor, .. }) => {
                vec![(".value", *value), (".factor", *factor)]
            }
            Self::Varying(Varying::Piecewise { values, .. }) => {
                values.iter().map(|value| (".values", *value)).collect()
            }
        };
        match numbers
            .into_iter()
            .find(|(_, n)| !n.is_finite() || !fits(*n))
        {
            None => Ok(()),
            Some((part, bad)) => Err(Error::Config {
                key: format!("{key}{part}"),
                value: bad.to_string(),
                expected: expected.into(),
            }),
        }
    }
}

impl Schedule {
    /// Refuses a piecewise schedule whose values and milestones do not go together.
    fn check_steps(&self, key: &str) -> Result<(), Error> {
        let Self::Varying(Varying::Piecewise { values, milestones }) = self else {
            return Ok(());
        };
        let refuse = |part: &str, value: String, expected: String| {
            Err(Error::Config {
                key: format!("{key}.{part}"),
                value,
                expected,
            })
        };
        let wanted = milestones.len() + 1;
        if values.len() != wanted {
            return refuse(
                "values",
                format!("{values:?}"),
                format!("must hold {wanted} numbers: one before the milestones and one after each"),
            );
        }
        if !milestones.is_sorted() {
            return refuse(
                "milestones",
                format!("{milestones:?}"),
                "must be in ascending order".into(),
            );
        }
        Ok(())
    }
}

impl From<f64> for Schedule {
    fn from(value: f64) -> Self {
        Self::Constant(value)
    }
}

// By hand, because an untagged enum can only say that nothing matched.
impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrTable;

        impl<'de> Visitor<'de> for NumberOrTable {
            type Value = Schedule;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a number, or a table such as { schedule = \"linear_warmup\", to = 1.0, epochs = 20 }")
            }

            fn visit_f64<E>(self, value: f64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Schedule, E> {
                Ok(Schedule::Constant(value as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Schedule, A::Error> {
                Varying::deserialize(MapAccessDeserializer::new(map)).map(Schedule::Varying)
            }
        }

        deserializer.deserialize_any(NumberOrTable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(schedule: &Schedule, epoch: usize) -> f64 {
        schedule.at(&Step {
            epoch,
            epochs: 11,
            index: 0,
        })
    }

    #[test]
    fn warm_up_is_full_at_its_last_epoch() {
        let s = Schedule::Varying(Varying::LinearWarmup { to: 8.0, epochs: 4 });
        assert_eq!([at(&s, 1), at(&s, 4), at(&s, 9)], [2.0, 8.0, 8.0]);
    }

    #[test]
    fn cosine_meets_both_ends_and_the_middle() {
        let s = Schedule::Varying(Varying::Cosine { from: 1.0, to: 3.0 });
        assert_eq!([at(&s, 1), at(&s, 11)], [1.0, 3.0]);
        assert!((at(&s, 6) - 2.0).abs() < 1e-12);
    }

    #[test]
    fn step_changes_after_its_milestone() {
        let s = Schedule::Varying(Varying::Step {
            value: 1.0,
            milestones: vec![2, 4],
            factor: 0.5,
        });
        assert_eq!([at(&s, 2), at(&s, 3), at(&s, 5)], [1.0, 0.5, 0.25]);
    }

    #[test]
    fn pieces_begin_after_their_milestones() {
        let pieces = |values: &[f64], milestones: &[usize]| {
            Schedule::Varying(Varying::Piecewise {
                values: values.to_vec(),
                milestones: milestones.to_vec(),
            })
        };
        let s = pieces(&[0.0, 50.0, 5.0], &[1, 8]);
        assert_eq!([at(&s, 1), at(&s, 2), at(&s, 9)], [0.0, 50.0, 5.0]);
        assert_eq!(s.validate_not_negative("weight"), Ok(()));
        let message = |s: Schedule| s.validate("weight").unwrap_err().to_string();
        assert_eq!(
            message(pieces(&[1.0], &[3])),
            "weight.values = [1.0]: must hold 2 numbers: one before the milestones and one after each"
        );
        assert!(message(pieces(&[1.0, 2.0, 3.0], &[5, 3])).starts_with("weight.milestones"));
        assert!(message(pieces(&[1.0, f64::INFINITY], &[5])).starts_with("weight.values"));
    }

    #[test]
    fn number_and_table_are_read_and_written_alike() {
        for text in [
            "4.0",
            r#"{"schedule":"linear_warmup","to":0.9,"epochs":20}"#,
            r#"{"schedule":"cosine","from":1.0,"to":0.0}"#,
            r#"{"schedule":"step","value":1.0,"milestones":[2,4],"factor":0.5}"#,
            r#"{"schedule":"piecewise","values":[0.0,50.0],"milestones":[1]}"#,
        ] {
            let schedule: Schedule = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&schedule).unwrap(), text);
        }
        assert_eq!(
            serde_json::from_str::<Schedule>("4").unwrap(),
            Schedule::Constant(4.0)
        );
    }

    #[test]
    fn messages_say_what_a_schedule_may_be() {
        let message = |text| {
            serde_json::from_str::<Schedule>(text)
                .unwrap_err()
                .to_string()
        };
        assert!(message("\"high\"").contains("a number, or a table such as"));
        let unknown = message(r#"{"schedule":"linear","to":1.0}"#);
        assert!(unknown.contains("linear_warmup"), "{unknown}");
        let extra = message(r#"{"schedule":"cosine","from":1.0,"to":0.0,"epochs":3}"#);
        assert!(extra.contains("epochs"), "{extra}");
    }

    #[test]
    fn validation_names_the_number() {
        let falling = Schedule::Varying(Varying::Cosine { from: 4.0, to: 0.0 });
        assert_eq!(falling.validate("weight"), Ok(()));
        assert_eq!(
            falling
                .validate_positive("temperature")
                .unwrap_err()
                .to_string(),
            "temperature.to = 0: must be a number above 0 at every epoch"
        );
        assert!(Schedule::Constant(f64::NAN).validate("weight").is_err());
    }
}
