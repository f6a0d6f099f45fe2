//! Weights that do not fit: what exactly, and what they may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use crate::keys::Key;

/// How many keys of each kind a message spells out.
const SHOWN: usize = 6;

/// Shapes by state-dict key.
pub(crate) type Shapes = BTreeMap<String, Vec<usize>>;

/// A tensor that has another shape than the network's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WrongShape {
    /// The key.
    pub key: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// Its shape in the network.
    pub expected: Vec<usize>,
}

/// Everything that is wrong between a file of weights and a network.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Mismatch {
    /// The file.
    pub path: PathBuf,
    /// The network.
    pub model: String,
    /// Keys of the network that the file lacks.
    pub missing: Vec<String>,
    /// Keys of the file that the network lacks.
    pub unexpected: Vec<String>,
    /// Keys of both whose shapes differ.
    pub shapes: Vec<WrongShape>,
    /// What the file seems to hold, and the cure.
    pub hint: Option<String>,
}

impl Mismatch {
    /// What is wrong between a file and a network's keys, without a hint; none when they fit.
    pub(crate) fn between(
        path: PathBuf,
        model: &str,
        keys: &[Key],
        found: &Shapes,
    ) -> Option<Self> {
        let known: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        let mut mismatch = Self {
            path,
            model: model.to_owned(),
            missing: Vec::new(),
            unexpected: found
                .keys()
                .filter(|name| !known.contains(name.as_str()))
                .cloned()
                .collect(),
            shapes: Vec::new(),
            hint: None,
        };
        for key in keys {
            match found.get(&key.name) {
                None => mismatch.missing.push(key.name.clone()),
                Some(shape) if *shape != key.shape => mismatch.shapes.push(WrongShape {
                    key: key.name.clone(),
                    found: shape.clone(),
                    expected: key.shape.clone(),
                }),
                Some(_) => {}
            }
        }
        let fits = mismatch.missing.is_empty()
            && mismatch.unexpected.is_empty()
            && mismatch.shapes.is_empty();
        (!fits).then_some(mismatch)
    }
}

impl Mismatch {
    /// Whether nothing is wrong but that a file is without these keys.
    pub(crate) fn is_only_without<'a>(&self, keys: impl Iterator<Item = &'a Key>) -> bool {
        let keys: BTreeSet<&str> = keys.map(|key| key.name.as_str()).collect();
        let missing: BTreeSet<&str> = self.missing.iter().map(String::as_str).collect();
        !keys.is_empty() && missing == keys && self.unexpected.is_empty() && self.shapes.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the weights in {} do not fit `{}`:",
            self.path.display(),
            self.model
        )?;
        list(f, "missing", &self.missing)?;
        list(f, "unexpected", &self.unexpected)?;
        let shapes: Vec<String> = self
            .shapes
            .iter()
            .map(|wrong| {
                format!(
                    "{} is {:?} instead of {:?}",
                    wrong.key, wrong.found, wrong.expected
                )
            })
            .collect();
        list(f, "of another shape", &shapes)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, what: &str, items: &[String]) -> fmt::Result {
    if items.is_empty() {
        return Ok(());
    }
    let shown = items[..items.len().min(SHOWN)].join(", ");
    write!(f, "\n  {} {what}: {shown}", items.len())?;
    if items.len() > SHOWN {
        write!(f, ", and {} more", items.len() - SHOWN)?;
    }
    Ok(())
}

impl std::error::Error for Mismatch {}
