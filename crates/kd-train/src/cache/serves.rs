//! Which terms a cache can serve.

use kd_core::{Levels, Objective, Taps};

use crate::Error;

/// Refuses an objective of which a term needs what is not kept: anything but logits and, with
/// `embedding`, embeddings.
///
/// # Errors
/// [`Error::Recipe`] that names the term and what it needs.
pub(crate) fn check(objective: &Objective, embedding: bool) -> Result<(), Error> {
    for (name, taps) in objective.taps_by_name() {
        let problem = match need(&taps.teacher, embedding) {
            None => continue,
            Some(Need::Embedding) => {
                "the teacher's embedding, which [teacher.cache] is not told to keep; set \
                 teacher.cache.embedding = true, or remove the table or the term"
                    .into()
            }
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
    Part(String),
}

/// What is asked of the teacher and not kept.
fn need(taps: &Taps, embedding: bool) -> Option<Need> {
    let levels = [
        ("maps", &taps.maps),
        ("maps before the activation", &taps.maps_preact),
        ("tokens", &taps.tokens),
        ("attentions", &taps.attentions),
    ];
    for (what, levels) in levels {
        match levels {
            Levels::Some(levels) if !levels.is_empty() => {
                let levels: Vec<_> = levels.iter().map(usize::to_string).collect();
                let of = format!("{what} (levels {})", levels.join(", "));
                return Some(Need::Part(of));
            }
            Levels::All => return Some(Need::Part(what.into())),
            Levels::None | Levels::Some(_) => {}
        }
    }
    if taps.classifier {
        return Some(Need::Part("the classifier".into()));
    }
    (taps.embedding && !embedding).then_some(Need::Embedding)
}
