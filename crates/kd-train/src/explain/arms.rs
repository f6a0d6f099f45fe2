//! Which variants differ in one thing only, and by how much they differ in score.

use std::collections::BTreeSet;

use kd_core::{ObjectiveConfig, methods};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stats::{Pair, Spread, Verdict};
use crate::summary::{pairs, verdict};
use crate::{Better, NetworkSummary};

/// What one more term, or another value of one key, changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The variant without it.
    pub from: String,
    /// The variant with it.
    pub to: String,
    /// What it is.
    pub what: String,
    /// Difference of the scores of the same seeds, above 0 where `to` is better.
    pub points: Spread,
    /// Whether it is one.
    pub verdict: Verdict,
}

/// A variant, its objective by term, and its students.
pub(super) struct Arm<'a> {
    pub name: &'a str,
    pub objective: Map<String, Value>,
    pub students: Vec<&'a NetworkSummary>,
}

/// The terms of an objective with their keys.
pub(super) fn terms(objective: &ObjectiveConfig) -> Map<String, Value> {
    match serde_json::to_value(objective) {
        Ok(Value::Object(terms)) => terms,
        _ => Map::new(),
    }
}

/// What an objective compares beside the labels: `logits`, `features + logits`, `relations`.
pub(super) fn family(objective: &ObjectiveConfig) -> String {
    let catalogue = methods();
    let group = |name: &str| {
        let method = catalogue
            .iter()
            .find(|method| method.name == name && method.teacher)?;
        Some(method.group)
    };
    let groups: BTreeSet<&str> = objective
        .terms
        .iter()
        .filter_map(|(_, entry)| group(entry.term.name()))
        .collect();
    match groups.is_empty() {
        true => "labels".into(),
        false => groups.into_iter().collect::<Vec<_>>().join(" + "),
    }
}

/// All pairs of variants that differ in one term or one key.
pub(super) fn changes(arms: &[Arm], images: usize) -> Vec<Change> {
    let mut found = Vec::new();
    for (at, one) in arms.iter().enumerate() {
        for (other_at, other) in arms.iter().enumerate() {
            let what = match at == other_at {
                true => None,
                false => added(&one.objective, &other.objective).or_else(|| {
                    (at < other_at).then(|| changed(&one.objective, &other.objective))?
                }),
            };
            let Some(what) = what else { continue };
            let Some(verdict) = verdict(&other.students, &one.students, images) else {
                continue;
            };
            let better = other.students.iter().find_map(|s| s.test.first());
            let better = better.map_or(Better::Higher, |score| score.better);
            let of_seeds = pairs(&other.students, &one.students).into_iter();
            let of_seeds = of_seeds.map(|Pair { new, old, .. }| better.gain(new, old));
            found.push(Change {
                from: one.name.into(),
                to: other.name.into(),
                what,
                points: Spread::of(&of_seeds.collect::<Vec<_>>()),
                verdict,
            });
        }
    }
    found
}

/// The term that `to` has and `from` has not, where all others are the same.
fn added(from: &Map<String, Value>, to: &Map<String, Value>) -> Option<String> {
    if to.len() != from.len() + 1 || from.iter().any(|(name, term)| to.get(name) != Some(term)) {
        return None;
    }
    let new = to.keys().find(|name| !from.contains_key(*name))?;
    Some(format!("`{new}` added"))
}

/// The key that differs, where all else is the same.
fn changed(from: &Map<String, Value>, to: &Map<String, Value>) -> Option<String> {
    if from.len() != to.len() {
        return None;
    }
    let mut different = from
        .iter()
        .filter(|(name, term)| to.get(*name) != Some(term));
    let (name, old) = different.next().filter(|_| different.next().is_none())?;
    let (old, new) = (old.as_object()?, to.get(name)?.as_object()?);
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let mut keys = keys
        .into_iter()
        .filter(|key| old.get(*key) != new.get(*key));
    let key = keys.next().filter(|_| keys.next().is_none())?;
    let shown = |value: Option<&Value>| value.map_or("its default".into(), ToString::to_string);
    Some(format!(
        "`{name}.{key}` = {} instead of {}",
        shown(new.get(key)),
        shown(old.get(key))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn one_term_or_one_key_is_a_change() {
        let kd = read(r#"{"cross_entropy": {"weight": 0.1}, "kd": {"weight": 0.9}}"#);
        let mut both = kd.clone();
        both.insert("rkd".into(), serde_json::json!({"angle": 50.0}));
        assert_eq!(added(&kd, &both).unwrap(), "`rkd` added");
        assert_eq!(added(&both, &kd), None);
        assert_eq!(
            added(&read(r#"{"cross_entropy": {"weight": 1.0}}"#), &kd),
            None
        );
        let mut hot = kd.clone();
        hot.insert("kd".into(), serde_json::json!({"weight": 0.5}));
        assert_eq!(
            changed(&kd, &hot).unwrap(),
            "`kd.weight` = 0.5 instead of 0.9"
        );
        hot.insert(
            "kd".into(),
            serde_json::json!({"weight": 0.5, "temperature": 8.0}),
        );
        assert_eq!(changed(&kd, &hot), None);
    }

    #[test]
    fn a_family_is_what_is_compared_with_the_teacher() {
        let family = |text: &str| family(&serde_json::from_str(text).unwrap());
        assert_eq!(
            family(r#"{"cross_entropy": {}, "kd": {}, "rkd": {}}"#),
            "logits + relations"
        );
        assert_eq!(family(r#"{"cross_entropy": {}}"#), "labels");
    }
}
