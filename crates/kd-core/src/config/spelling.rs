//! Objectives as text: what serde writes and reads.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{BALANCE, ObjectiveConfig, TermEntry};
use crate::{Balance, Schedule, TermConfig};

impl Serialize for ObjectiveConfig {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let count = self.terms.len() + usize::from(self.balance.is_some());
        let mut map = serializer.serialize_map(Some(count))?;
        // TOML wants the plain values of a table before the tables in it.
        if let Some(balance) = &self.balance {
            map.serialize_entry(BALANCE, balance)?;
        }
        for (name, entry) in &self.terms {
            let written =
                write(name, entry, &self.weight(entry)).map_err(serde::ser::Error::custom)?;
            map.serialize_entry(name, &written)?;
        }
        map.end()
    }
}

fn write(
    name: &str,
    entry: &TermEntry,
    weight: &Schedule,
) -> Result<Map<String, Value>, serde_json::Error> {
    let mut keys = Map::new();
    if name != entry.term.name() {
        keys.insert("term".into(), entry.term.name().into());
    }
    keys.insert("weight".into(), serde_json::to_value(weight)?);
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
                    if name == BALANCE {
                        if config.balance.is_some() {
                            return Err(A::Error::custom("objective.balance is given twice"));
                        }
                        config.balance = Some(map.next_value_seed(Rule)?);
                        continue;
                    }
                    if config.terms.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!(
                            "objective.{name} is given twice: give the second another name, and \
                             `term` to say which term it is"
                        )));
                    }
                    let entry = map.next_value_seed(Entry { name: &name })?;
                    config.terms.push((name, entry));
                }
                // Written out, a recipe says every weight: one that is read is the one that was written.
                for at in 0..config.terms.len() {
                    let weight = config.weight(&config.terms[at].1);
                    config.terms[at].1.weight = Some(weight);
                }
                Ok(config)
            }
        }

        deserializer.deserialize_map(Terms)
    }
}

/// Reads the rule of the weights; a seed, as [`Entry`] is.
struct Rule;

impl<'de> DeserializeSeed<'de> for Rule {
    type Value = Balance;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Balance, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let rule = match not_finite(&value) {
            Some(key) => Err(format!("`{key}` must be a finite number")),
            None => Balance::read(value),
        };
        rule.map_err(|problem| D::Error::custom(format!("objective.{BALANCE}: {problem}")))
    }
}

/// Reads one term; a seed, so that a format that tracks positions can
/// point at the term's table.
struct Entry<'a> {
    name: &'a str,
}

impl<'de> DeserializeSeed<'de> for Entry<'_> {
    type Value = TermEntry;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let value = Value::deserialize(deserializer)?;
        read(self.name, value)
            .map_err(|problem| D::Error::custom(format!("objective.{}: {problem}", self.name)))
    }
}

fn read(name: &str, value: Value) -> Result<TermEntry, String> {
    if let Some(key) = not_finite(&value) {
        return Err(format!("`{key}` must be a finite number"));
    }
    let Value::Object(mut keys) = value else {
        return Err(format!(
            "must be a table with the term's keys, such as {{ weight = 1.0 }}, not {value}"
        ));
    };
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

/// The key of a table whose number is not finite: JSON cannot hold it, so that it became null when it was
/// buffered.
fn not_finite(value: &Value) -> Option<&str> {
    let (key, _) = value.as_object()?.iter().find(|(_, v)| holds_null(v))?;
    Some(key)
}

fn holds_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().any(holds_null),
        Value::Object(keys) => keys.values().any(holds_null),
        _ => false,
    }
}
