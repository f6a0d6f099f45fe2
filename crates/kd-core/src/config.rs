//! How a recipe spells an objective.

use std::fmt;

use burn::tensor::Device;
use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{Error, Objective, Output, Schedule, TermConfig};

/// A term of an objective with its weight.
#[derive(Clone, Debug, PartialEq)]
pub struct TermEntry {
    /// Factor of the term in the sum.
    pub weight: Schedule,
    /// The term's parameters.
    pub term: TermConfig,
}

impl TermEntry {
    /// A term with the weight that the literature gives it.
    pub fn new(term: impl Into<TermConfig>) -> Self {
        let term = term.into();
        Self {
            weight: Schedule::Constant(term.default_weight()),
            term,
        }
    }

    /// The same term with another weight.
    pub fn with_weight(mut self, weight: impl Into<Schedule>) -> Self {
        self.weight = weight.into();
        self
    }
}

/// Named terms in order, each with its weight.
///
/// A recipe spells it as one table a term. The table's name is the term's method unless a key
/// `term` says which, so that a method can occur twice; `weight` is a number or a [`Schedule`];
/// every other key is a parameter of the method.
///
/// ```toml
/// [objective.cross_entropy]
/// weight = 0.1
/// [objective.kd]
/// weight = { schedule = "linear_warmup", to = 0.9, epochs = 20 }
/// temperature = 4.0
/// [objective.hot]
/// term = "kd"
/// temperature = 8.0
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectiveConfig {
    /// Names and terms, in the order in which they are reported.
    pub terms: Vec<(String, TermEntry)>,
}

impl ObjectiveConfig {
    /// Adds a term under a name.
    pub fn with(mut self, name: impl Into<String>, entry: TermEntry) -> Self {
        self.terms.push((name.into(), entry));
        self
    }

    /// Whether a term compares with a teacher.
    pub fn needs_teacher(&self) -> bool {
        self.terms
            .iter()
            .any(|(_, entry)| entry.term.needs_teacher())
    }

    /// Whether it holds more than labels: a term that compares with a teacher, or one that lets a student
    /// learn from itself.
    pub fn distils(&self) -> bool {
        let mut terms = self.terms.iter().map(|(_, entry)| &entry.term);
        terms.any(|term| !matches!(term, TermConfig::CrossEntropy(_)))
    }

    /// The objective of the same student with labels alone: the cross-entropy at full weight, with its
    /// label smoothing.
    pub fn labels_only(&self) -> Self {
        let mut terms = self.terms.iter().map(|(_, entry)| &entry.term);
        let own = terms.find(|term| matches!(term, TermConfig::CrossEntropy(_)));
        let term = own.cloned().unwrap_or_else(|| {
            TermConfig::from(crate::terms::cross_entropy::CrossEntropyConfig::default())
        });
        Self::default().with("cross_entropy", TermEntry::new(term))
    }

    /// Tells terms that keep something of every training sample how many there are, where the recipe
    /// does not.
    pub fn with_samples(mut self, samples: usize) -> Self {
        for (_, entry) in &mut self.terms {
            if let TermConfig::Crd(config) = &mut entry.term
                && config.samples == 0
            {
                config.samples = samples;
            }
        }
        self
    }

    /// Builds the objective from one dry run of each network that kept everything
    /// ([`Taps::all`](crate::Taps::all)); adapters are made on `device`.
    ///
    /// # Errors
    /// [`Error::NoTerms`] for an empty objective; for a term, what
    /// [`TermConfig::init`] returns, with the term's name.
    pub fn init(
        &self,
        student: &Output,
        teacher: Option<&Output>,
        device: &Device,
    ) -> Result<Objective, Error> {
        if self.terms.is_empty() {
            return Err(Error::NoTerms);
        }
        let mut objective = Objective::default();
        for (name, entry) in &self.terms {
            let term = entry
                .weight
                .validate("weight")
                .and_then(|()| entry.term.init(student, teacher, device))
                .map_err(|e| e.of_term(name))?;
            objective.push(name.clone(), entry.weight.clone(), term);
        }
        Ok(objective)
    }
}

impl Serialize for ObjectiveConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.terms.len()))?;
        for (name, entry) in &self.terms {
            let written = write(name, entry).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(name, &written)?;
        }
        map.end()
    }
}

fn write(name: &str, entry: &TermEntry) -> Result<Map<String, Value>, serde_json::Error> {
    let mut keys = Map::new();
    if name != entry.term.name() {
        keys.insert("term".into(), entry.term.name().into());
    }
    keys.insert("weight".into(), serde_json::to_value(&entry.weight)?);
    keys.extend(entry.term.parameters());
    // TOML wants the plain values of a table before the tables in it.
    let (tables, plain): (Vec<_>, Vec<_>) =
        keys.into_iter().partition(|(_, value)| value.is_object());
    Ok(plain.into_iter().chain(tables).collect())
}

impl<'de> Deserialize<'de> for ObjectiveConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Terms;

        impl<'de> Visitor<'de> for Terms {
            type Value = ObjectiveConfig;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a table of terms, such as [objective.cross_entropy]")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ObjectiveConfig, A::Error> {
                let mut config = ObjectiveConfig::default();
                while let Some(name) = map.next_key::<String>()? {
                    if config.terms.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!(
                            "objective.{name} is given twice: give the second another name, and \
                             `term` to say which term it is"
                        )));
                    }
                    let entry = map.next_value_seed(Entry { name: &name })?;
                    config.terms.push((name, entry));
                }
                Ok(config)
            }
        }

        deserializer.deserialize_map(Terms)
    }
}

/// Reads one term; a seed, so that a format that tracks positions can point at the term's table.
struct Entry<'a> {
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = TermEntry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<TermEntry, D::Error> {
        let value = Value::deserialize(deserializer)?;
        read(self.name, value)
            .map_err(|problem| D::Error::custom(format!("objective.{}: {problem}", self.name)))
    }
}

fn read(name: &str, value: Value) -> Result<TermEntry, String> {
    let Value::Object(mut keys) = value else {
        return Err(format!(
            "must be a table with the term's keys, such as {{ weight = 1.0 }}, not {value}"
        ));
    };
    // A number that JSON cannot hold becomes null when it is buffered.
    if let Some((key, _)) = keys.iter().find(|(_, value)| holds_null(value)) {
        return Err(format!("`{key}` must be a finite number"));
    }
    let weight = keys.shift_remove("weight");
    let term = match keys.shift_remove("term") {
        None => name.to_owned(),
        Some(Value::String(term)) => term,
        Some(other) => return Err(format!("`term` must be the name of a term, not {other}")),
    };
    let term = TermConfig::read(&term, &keys)?;
    let entry = TermEntry::new(term);
    match weight {
        None => Ok(entry),
        Some(weight) => serde_json::from_value::<Schedule>(weight)
            .map(|weight| entry.with_weight(weight))
            .map_err(|e| format!("`weight`: {e}")),
    }
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(keys) => keys.values().any(holds_null),
        _ => false,
    }
}
