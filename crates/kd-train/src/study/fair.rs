//! Whether two variants can share one student alone.

use toml::{Table, Value};

use crate::recipe::{differences, resolved};
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
