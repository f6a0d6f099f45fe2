//! Which terms a cache can serve.

use kd_core::{Levels, Objective, Part, Taps};

use crate::Error;

/// Refuses an objective of which a term needs what is not kept: anything but logits, with `embedding` embeddings, and
/// maps of the levels `maps`.
///
/// # Errors
/// [`Error::Recipe`] that names the term and what it needs.
pub(crate) fn check(objective: &Objective, embedding: bool, maps: &[usize]) -> Result<(), Error> {
    for (name, taps) in objective.taps_by_name() {
        let problem = match need(&taps.teacher, embedding, maps) {
            None => continue,
            Some(Need::Embedding) => {
                "the teacher's embedding, which [teacher.cache] is not told to keep; set \
                 teacher.cache.embedding = true, or remove the table or the term"
                    .into()
            }
            Some(Need::Maps(levels)) => format!(
                "the teacher's maps of levels {levels:?}, which [teacher.cache] is not told to keep; set \
                 teacher.cache.maps = {levels:?}, or remove the table or the term"
            ),
            Some(Need::Part(what)) => format!(
                "{what} of the teacher, which [teacher.cache] cannot serve; remove the table or \
                 the term"
            ),
        };
        return Err(Error::Recipe(format!("objective.{name} needs {problem}")));
    }
    Ok(())
}

enum Need {
    Embedding,
    Maps(Vec<usize>),
    Part(String),
}

/// What is asked of the teacher and not kept.
fn need(taps: &Taps, embedding: bool, maps: &[usize]) -> Option<Need> {
    let kept = [Part::Embedding, Part::Maps];
    let mut others = taps.iter().filter(|(part, levels)| {
        !kept.contains(part) || (*part == Part::Maps && **levels == Levels::All)
    });
    if let Some((part, levels)) = others.next() {
        let name = part.name();
        return Some(Need::Part(match (part, levels) {
            (Part::Classifier, _) => format!("the {name}"),
            (_, Levels::Some(levels)) => {
                let levels: Vec<_> = levels.iter().map(usize::to_string).collect();
                format!("{name} (levels {})", levels.join(", "))
            }
            _ => name.into(),
        }));
    }
    if let Levels::Some(levels) = taps.get(Part::Maps)
        && levels.iter().any(|level| !maps.contains(level))
    {
        return Some(Need::Maps(levels.iter().copied().collect()));
    }
    let wanted = !taps.get(Part::Embedding).is_empty();
    (wanted && !embedding).then_some(Need::Embedding)
}
