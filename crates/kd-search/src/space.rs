//! What may vary.

use serde::{Deserialize, Serialize};

use crate::Error;

/// Parameters by name, such as keys of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Space {
    /// In the order of their values in a [`Point`].
    pub parameters: Vec<Parameter>,
}

/// A parameter and its values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it may be.
    pub values: Values,
}

/// What a parameter may be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Values {
    /// One of these.
    Choice {
        /// As text.
        choice: Vec<String>,
    },
    /// A whole number.
    Int {
        /// The least.
        least: i64,
        /// The most.
        most: i64,
    },
    /// A number.
    Float {
        /// The lower end.
        from: f64,
        /// The upper end.
        to: f64,
        /// Whether its logarithm is uniform.
        #[serde(default)]
        log: bool,
        /// Values of a grid.
        #[serde(default = "five")]
        steps: usize,
    },
}

fn five() -> usize {
    5
}

/// Whole numbers up to this are exact as floats.
const WHOLE: u64 = 1 << 52;
/// Values of a number on a grid, at most.
const STEPS: usize = 1000;

/// A value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A choice, by its place.
    Choice(usize, String),
}

/// A value for every parameter of a space.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point(pub Vec<Value>);

impl Point {
    /// The value of a parameter as a number; that of a choice is its place.
    ///
    /// # Panics
    /// When there is no such parameter.
    pub fn number(&self, parameter: usize) -> f64 {
        match &self.0[parameter] {
            Value::Int(value) => *value as f64,
            Value::Float(value) => *value,
            Value::Choice(place, _) => *place as f64,
        }
    }
}

impl Space {
    /// Adds a number.
    ///
    /// # Errors
    /// As [`Space::check`].
    pub fn float(&mut self, name: &str, from: f64, to: f64, log: bool) -> Result<(), Error> {
        let steps = five();
        self.add(
            name,
            Values::Float {
                from,
                to,
                log,
                steps,
            },
        )
    }

    /// Adds a whole number.
    ///
    /// # Errors
    /// As [`Space::check`].
    pub fn int(&mut self, name: &str, least: i64, most: i64) -> Result<(), Error> {
        self.add(name, Values::Int { least, most })
    }

    /// Adds a choice.
    ///
    /// # Errors
    /// As [`Space::check`].
    pub fn choice(&mut self, name: &str, choice: &[&str]) -> Result<(), Error> {
        let choice = choice.iter().map(|c| (*c).to_owned()).collect();
        self.add(name, Values::Choice { choice })
    }

    fn add(&mut self, name: &str, values: Values) -> Result<(), Error> {
        self.parameters.push(Parameter {
            name: name.into(),
            values,
        });
        self.check()
    }

    /// Checks every parameter.
    ///
    /// # Errors
    /// [`Error`] that names the parameter: a name that is there twice, an empty range, a logarithm of what is not above 0.
    pub fn check(&self) -> Result<(), Error> {
        for (at, Parameter { name, values }) in self.parameters.iter().enumerate() {
            let wrong = |problem: String| Err(Error(format!("`{name}`: {problem}")));
            if self.parameters[..at]
                .iter()
                .any(|other| other.name == *name)
            {
                return wrong("is there twice: name each parameter once".into());
            }
            match values {
                Values::Choice { choice } if choice.is_empty() => {
                    return wrong("has no choices: give one at least".into());
                }
                Values::Int { least, most } if least > most => {
                    return wrong(format!("least = {least} is above most = {most}"));
                }
                Values::Int { least, most } if most.abs_diff(*least) > WHOLE => {
                    return wrong(format!(
                        "from least = {least} to most = {most} are more whole numbers than are exact: take fewer"
                    ));
                }
                Values::Float { from, to, .. }
                    if !(from.is_finite() && to.is_finite() && from < to) =>
                {
                    return wrong(format!(
                        "from = {from} must be below to = {to}, and both finite"
                    ));
                }
                Values::Float {
                    from, log: true, ..
                } if *from <= 0.0 => {
                    return wrong(format!(
                        "from = {from} has no logarithm: give one above 0, or log = false"
                    ));
                }
                Values::Float { steps, .. } if !(2..=STEPS).contains(steps) => {
                    return wrong(format!("steps = {steps}: a grid needs 2 to {STEPS}"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Values {
    /// The value at a share of the range, from 0 to 1.
    pub(crate) fn at(&self, share: f64) -> Value {
        match self {
            Self::Choice { choice } => {
                let place = ((share * choice.len() as f64) as usize).min(choice.len() - 1);
                Value::Choice(place, choice[place].clone())
            }
            Self::Int { least, most } => {
                let count = (most - least + 1) as f64;
                Value::Int(least + ((share * count) as i64).min(most - least))
            }
            Self::Float {
                from,
                to,
                log: false,
                ..
            } => Value::Float((from + (to - from) * share).clamp(*from, *to)),
            Self::Float {
                from,
                to,
                log: true,
                ..
            } => {
                let value = from.ln() + (to.ln() - from.ln()) * share;
                Value::Float(value.exp().clamp(*from, *to))
            }
        }
    }

    /// Where a value is in the range, from 0 to 1, given as [`Point::number`] gives it.
    pub(crate) fn share(&self, value: f64) -> f64 {
        let share = match self {
            Self::Choice { choice } if choice.len() == 1 => 0.5,
            Self::Choice { choice } => value / (choice.len() - 1) as f64,
            Self::Int { least, most } if least == most => 0.5,
            Self::Int { least, most } => (value - *least as f64) / (most - least) as f64,
            Self::Float {
                from,
                to,
                log: true,
                ..
            } => (value.ln() - from.ln()) / (to.ln() - from.ln()),
            Self::Float { from, to, .. } => (value - from) / (to - from),
        };
        share.clamp(0.0, 1.0)
    }

    /// How many values a grid has.
    pub(crate) fn grid_len(&self) -> usize {
        match self {
            Self::Choice { choice } => choice.len(),
            Self::Int { least, most } => (most - least + 1) as usize,
            Self::Float { steps, .. } => *steps,
        }
    }

    /// Values of a grid.
    pub(crate) fn grid(&self) -> Vec<Value> {
        (0..self.grid_len())
            .map(|step| self.of_grid(step))
            .collect()
    }

    /// The value of a grid at a step.
    pub(crate) fn of_grid(&self, step: usize) -> Value {
        let steps = self.grid_len();
        self.at(match self {
            Self::Float { .. } => step as f64 / (steps - 1).max(1) as f64,
            _ => (step as f64 + 0.5) / steps as f64,
        })
    }
}
