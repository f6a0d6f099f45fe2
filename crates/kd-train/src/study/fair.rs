//! Whether two variants can share one student alone.

use std::collections::BTreeMap;

use toml::{Table, Value};

use crate::{Error, Recipe};

/// Why a variant's student must not be compared with the student alone of the first one; none when
/// it may.
///
/// The student alone depends on everything but its teachers, earlier stages, peers and the loss, of which it takes the label
/// smoothing of cross-entropy and, where a cache limits them, the views of every image.
pub(super) fn problem(
    first: &str,
    of_first: &Recipe,
    recipe: &Recipe,
) -> Result<Option<String>, Error> {
    let [ours, theirs] = [student_alone(recipe)?, student_alone(of_first)?];
    let changed = differences(&ours, &theirs);
    Ok((!changed.is_empty()).then(|| {
        format!(
            "changes {}, and with it what a student alone would reach, so the one of `{first}` is \
             no fair comparison: say `compare = true` in this variant, which trains one for it",
            changed.join(" and ")
        )
    }))
}

/// A recipe with every key written out, but its name.
pub(super) fn resolved(recipe: &Recipe) -> Result<Table, Error> {
    let mut table = recipe
        .to_toml()?
        .parse::<Table>()
        .map_err(|e| Error::Recipe(format!("read a resolved recipe: {e}")))?;
    table.remove("name");
    Ok(table)
}

/// The keys that differ, each with its two values.
pub(super) fn differences(ours: &Table, theirs: &Table) -> Vec<String> {
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

/// The part of a recipe that its student alone depends on.
fn student_alone(recipe: &Recipe) -> Result<Table, Error> {
    let mut table = resolved(recipe)?;
    for key in ["compare", "stages", "ensemble"] {
        table.remove(key);
    }
    if let Some(student) = table.get_mut("student").and_then(Value::as_table_mut) {
        for key in ["start", "teachers", "combine", "peers", "mutual"] {
            student.remove(key);
        }
    }
    let objective = table.remove("objective");
    let teacher = table.remove("teacher");
    let terms = objective.as_ref().and_then(Value::as_table);
    let cross_entropy = terms.into_iter().flatten().find(|(name, term)| {
        let method = term.get("term").and_then(Value::as_str);
        method.unwrap_or(name.as_str()) == "cross_entropy"
    });
    let smoothing = cross_entropy.and_then(|(_, term)| term.get("smoothing")?.as_float());
    table.insert("smoothing".into(), smoothing.unwrap_or(0.0).into());
    let views = teacher.as_ref().and_then(|t| t.get("cache")?.get("views"));
    if let Some(views) = views.filter(|views| views.is_integer()) {
        table.insert("teacher.cache.views".into(), views.clone());
    }
    Ok(table)
}
