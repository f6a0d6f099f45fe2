//! Weights in several files, with an index that says which tensor is in which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::Error;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Weights in several files.
pub(crate) struct Shards {
    path: PathBuf,
    index: Index,
}

impl Shards {
    /// The files of an index; none of a path that is no index.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Format`].
    pub(crate) fn of(path: &Path) -> Result<Option<Self>, Error> {
        if !path.to_string_lossy().ends_with(".index.json") {
            return Ok(None);
        }
        let text = std::fs::read(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        let shards = Self {
            path: path.to_owned(),
            index: serde_json::from_slice(&text).map_err(|e| Error::Format {
                path: path.to_owned(),
                problem: format!(
                    "an index of weights has a `weight_map` from tensors to files ({e})"
                ),
            })?,
        };
        let inside = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let outside = shards.files().into_iter().find(|name| !inside(name));
        match outside.map(String::from) {
            Some(name) => {
                Err(shards.wrong(format!("it names {name:?}, which is no file beside it")))
            }
            None => Ok(Some(shards)),
        }
    }

    fn files(&self) -> BTreeSet<&str> {
        self.index.weight_map.values().map(String::as_str).collect()
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Format {
            path: self.path.clone(),
            problem,
        }
    }

    /// What `read` finds in each file, all together.
    ///
    /// # Errors
    /// Those of `read`, and [`Error::Format`] when files and index contradict each other.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&Path) -> Result<BTreeMap<String, T>, Error>,
    ) -> Result<BTreeMap<String, T>, Error> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let mut all = BTreeMap::new();
        for file in self.files() {
            for (name, tensor) in read(&folder.join(file))? {
                match self.index.weight_map.get(&name) {
                    Some(named) if named != file => {
                        return Err(self.wrong(format!(
                            "`{name}` is in {file}, and the index says that it is in {named}"
                        )));
                    }
                    _ => all.insert(name, tensor),
                };
            }
        }
        let mut names = self.index.weight_map.iter();
        match names.find(|(name, _)| !all.contains_key(*name)) {
            Some((name, file)) => Err(self.wrong(format!("{file} has no `{name}`"))),
            None => Ok(all),
        }
    }
}
