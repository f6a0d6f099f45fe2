//! A space as tables of TOML.

use toml::{Table, Value as Toml};

use crate::Error;
use crate::space::{Parameter, Point, Space, Value, Values};

/// Keys of the values of a parameter.
const KEYS: [&str; 6] = ["from", "to", "log", "steps", "least", "most"];

const FORMS: &str = "give a list such as [1.0, 4.0], a range of numbers { from = 1.0, to = 16.0, log = true }, or whole \
                     numbers { least = 1, most = 3 }";

impl Space {
    /// Reads parameters by name; tables in tables are names with dots.
    ///
    /// - `objective.kd.temperature = { from = 1.0, to = 16.0, log = true, steps = 5 }`: a number; `log` draws its logarithm
    ///   uniformly, `steps` are those of a grid (5 where they are left out);
    /// - `objective.fitnet.level = { least = 1, most = 3 }`: a whole number;
    /// - `student.model = ["resnet8", "resnet14"]`: one of these, of any type.
    ///
    /// # Errors
    /// [`Error`] that names the parameter and says what would be right.
    pub fn from_toml(table: &Table) -> Result<Self, Error> {
        let mut space = Self::default();
        collect(table, "", &mut space.parameters)?;
        space.check()?;
        match space.parameters.is_empty() {
            true => Err(Error(format!(
                "[parameters] names nothing to search: name a key of the recipe, and {FORMS}"
            ))),
            false => Ok(space),
        }
    }

    /// Combinations of a grid.
    pub fn combinations(&self) -> usize {
        let sizes = self.parameters.iter().map(|p| p.values.grid_len());
        sizes.fold(1, usize::saturating_mul)
    }

    /// What each parameter of a point says in TOML, as `key=value`. Numbers have five digits.
    pub fn assignments(&self, point: &Point) -> Vec<String> {
        let pairs = self.parameters.iter().zip(&point.0);
        pairs
            .map(|(p, value)| format!("{}={}", p.name, p.values.text(value)))
            .collect()
    }

    /// Points that hold every choice and both ends of every range, with the first value of all other parameters.
    pub fn ends(&self) -> Vec<Point> {
        let first = Point(self.parameters.iter().map(|p| p.values.at(0.0)).collect());
        let mut found = vec![first.clone()];
        for (at, parameter) in self.parameters.iter().enumerate() {
            let others = match &parameter.values {
                values @ Values::Choice { .. } => values.grid(),
                values => vec![values.at(1.0)],
            };
            for value in others.into_iter().filter(|value| *value != first.0[at]) {
                let mut point = first.clone();
                point.0[at] = value;
                found.push(point);
            }
        }
        found
    }
}

impl Values {
    /// A value in TOML.
    pub fn text(&self, value: &Value) -> String {
        match (self, value) {
            (_, Value::Choice(_, text)) => text.clone(),
            (_, Value::Int(value)) => value.to_string(),
            (Self::Float { from, to, .. }, Value::Float(value)) => {
                let rounded: f64 = format!("{value:.4e}").parse().unwrap_or(*value);
                format!("{:?}", rounded.clamp(*from, *to))
            }
            (_, Value::Float(value)) => format!("{value:?}"),
        }
    }
}

fn collect(table: &Table, above: &str, found: &mut Vec<Parameter>) -> Result<(), Error> {
    for (key, value) in table {
        let name = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        let values = match value {
            Toml::Array(choices) => Values::Choice {
                choice: choices.iter().map(Toml::to_string).collect(),
            },
            Toml::Table(inner) if inner.keys().any(|key| KEYS.contains(&key.as_str())) => {
                range(&name, inner)?
            }
            Toml::Table(inner) if !inner.is_empty() => {
                collect(inner, &name, found)?;
                continue;
            }
            other => {
                return Err(Error(format!(
                    "`{name}` = {other} says no values to try: {FORMS}; a value that all trials share belongs into [base]"
                )));
            }
        };
        found.push(Parameter { name, values });
    }
    Ok(())
}

fn range(name: &str, table: &Table) -> Result<Values, Error> {
    let wrong = |problem: String| Error(format!("`{name}`: {problem}"));
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(wrong(format!(
            "unknown key `{key}`; there are {}",
            KEYS.join(", ")
        )));
    }
    let whole = table.contains_key("least") || table.contains_key("most");
    let stray = ["from", "to", "log", "steps"]
        .iter()
        .find(|key| whole && table.contains_key(**key));
    if let Some(key) = stray {
        return Err(wrong(format!(
            "`{key}` does not go with least and most: {FORMS}"
        )));
    }
    let missing = |key: &str| wrong(format!("`{key}` is missing: {FORMS}"));
    let integer = |key: &str| match table.get(key) {
        Some(Toml::Integer(value)) => Ok(*value),
        Some(other) => Err(wrong(format!("{key} = {other}: must be a whole number"))),
        None => Err(missing(key)),
    };
    let number = |key: &str| match table.get(key) {
        Some(Toml::Float(value)) => Ok(*value),
        Some(Toml::Integer(value)) => Ok(*value as f64),
        Some(other) => Err(wrong(format!("{key} = {other}: must be a number"))),
        None => Err(missing(key)),
    };
    if whole {
        return Ok(Values::Int {
            least: integer("least")?,
            most: integer("most")?,
        });
    }
    let log = match table.get("log") {
        None => false,
        Some(Toml::Boolean(log)) => *log,
        Some(other) => return Err(wrong(format!("log = {other}: must be true or false"))),
    };
    let steps = match table.get("steps") {
        None => 5,
        Some(Toml::Integer(steps)) if (2..=1000).contains(steps) => *steps as usize,
        Some(other) => return Err(wrong(format!("steps = {other}: must be 2 to 1000"))),
    };
    Ok(Values::Float {
        from: number("from")?,
        to: number("to")?,
        log,
        steps,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Space, Error> {
        Space::from_toml(&toml::from_str(text).unwrap())
    }

    #[test]
    fn names_are_keys_and_values_go_back_to_toml() {
        let space = read(
            "objective.kd.temperature = { from = 1, to = 16.0, log = true, steps = 3 }\n\
             [objective.fitnet]\nlevel = { least = 1, most = 3 }\n[student]\nmodel = [\"resnet8\", \"resnet14\"]\n",
        )
        .unwrap();
        assert_eq!(space.combinations(), 3 * 3 * 2);
        let point = Point(vec![
            Value::Float(3.456_789),
            Value::Int(2),
            Value::Choice(1, "\"resnet14\"".into()),
        ]);
        assert_eq!(
            space.assignments(&point),
            [
                "objective.kd.temperature=3.4568",
                "objective.fitnet.level=2",
                "student.model=\"resnet14\""
            ]
        );
        // The first of all, and with it the other end of each.
        let ends: Vec<Vec<String>> = space.ends().iter().map(|p| space.assignments(p)).collect();
        let short: Vec<String> = ends
            .iter()
            .map(|end| {
                let values = end.iter().map(|a| a.split_once('=').unwrap().1);
                values.collect::<Vec<_>>().join(" ")
            })
            .collect();
        assert_eq!(
            short,
            [
                "1.0 1 \"resnet8\"",
                "16.0 1 \"resnet8\"",
                "1.0 3 \"resnet8\"",
                "1.0 1 \"resnet14\""
            ]
        );
    }

    #[test]
    fn a_mistake_names_the_parameter_and_what_would_be_right() {
        for (text, parts) in [
            ("a.b = 3", ["`a.b` = 3", "[base]"]),
            ("", ["names nothing", "[1.0, 4.0]"]),
            ("a = { from = 1.0 }", ["`a`", "`to` is missing"]),
            (
                "a = { form = 1.0, to = 2.0 }",
                ["unknown key `form`", "from, to"],
            ),
            ("a = { least = 1.5, most = 2 }", ["least = 1.5", "whole"]),
            (
                "a = { least = 1, most = 2, log = true }",
                ["`log`", "least and most"],
            ),
            ("a = { from = \"x\", to = 2.0 }", ["from = \"x\"", "number"]),
            (
                "a = { from = 1.0, to = 2.0, steps = 1 }",
                ["steps = 1", "2 to 1000"],
            ),
            (
                "a = { from = 0.0, to = 2.0, log = true }",
                ["`a`", "above 0"],
            ),
            ("a = []", ["`a`", "no choices"]),
        ] {
            let message = read(text).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "{part} is not in {message}");
            }
        }
    }

    #[test]
    fn ranges_without_an_end_cost_nothing() {
        let read = |text: &str| Space::from_toml(&toml::from_str(text).unwrap());
        let space = read("a = { least = 0, most = 1000000000000 }").unwrap();
        assert_eq!(space.ends().len(), 2);
        assert_eq!(space.combinations(), 1_000_000_000_001);
        let grid = crate::Sampler::new(space, crate::Method::Grid, 0);
        assert!(
            grid.unwrap_err()
                .to_string()
                .contains("more than 1000000 points")
        );
        for (text, part) in [
            (
                "a = { least = -9223372036854775808, most = 9223372036854775807 }",
                "take fewer",
            ),
            (
                "a = { from = 0.0, to = 1.0, steps = 1000000000 }",
                "2 to 1000",
            ),
        ] {
            let problem = read(text).unwrap_err().to_string();
            assert!(problem.contains(part), "{problem}");
        }
    }
}
