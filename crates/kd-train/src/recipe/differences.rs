//! In which keys two recipes differ.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{Error, Recipe};

/// A recipe with every key written out, but those that no result depends on: its name, its trackers, and when
/// states are saved.
pub(crate) fn resolved(recipe: &Recipe) -> Result<Table, Error> {
    let table = recipe.to_toml()?.parse::<Table>();
    table
        .map(without_free_keys)
        .map_err(|e| Error::Recipe(format!("read a resolved recipe: {e}")))
}

/// A recipe without the keys that no result depends on.
pub(crate) fn without_free_keys(mut recipe: Table) -> Table {
    fn forget(of: Option<&mut Value>) {
        if let Some(train) = of
            .and_then(|of| of.get_mut("train"))
            .and_then(Value::as_table_mut)
        {
            train.remove("checkpoint");
        }
    }
    recipe.remove("name");
    recipe.remove("track");
    if let Some(train) = recipe.get_mut("train").and_then(Value::as_table_mut) {
        train.remove("checkpoint");
    }
    forget(recipe.get_mut("teacher"));
    let stages = recipe.get_mut("stages").and_then(Value::as_table_mut);
    for (_, stage) in stages.into_iter().flatten() {
        forget(Some(stage));
    }
    recipe
}

/// The keys that differ, each with its two values.
pub(crate) fn differences(ours: &Table, theirs: &Table) -> Vec<String> {
    let (ours, theirs) = (leaves(ours), leaves(theirs));
    let mut keys: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    let shown = |value: Option<&Value>| value.map_or("absent".into(), ToString::to_string);
    keys.into_iter()
        .filter(|key| ours.get(*key) != theirs.get(*key))
        .map(|key| {
            let [ours, theirs] = [&ours, &theirs].map(|side| shown(side.get(key)));
            format!("{key} ({ours} instead of {theirs})")
        })
        .collect()
}

fn leaves(table: &Table) -> BTreeMap<String, Value> {
    fn collect(table: &Table, above: &str, found: &mut BTreeMap<String, Value>) {
        for (key, value) in table {
            let key = format!("{above}{key}");
            match value {
                Value::Table(inner) => collect(inner, &format!("{key}."), found),
                value => drop(found.insert(key, value.clone())),
            }
        }
    }
    let mut found = BTreeMap::new();
    collect(table, "", &mut found);
    found
}
