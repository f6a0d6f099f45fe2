//! What an earlier start of the study left in a variant's folder.

use std::{
    collections::BTreeSet,
    fs::{self, File, TryLockError},
    path::Path,
};

use toml::Table;

use super::results;
use super::run::Earlier;
use crate::folder::io;
use crate::recipe::{differences, resolved, without_free_keys};
use crate::{Error, Left, Recipe, Summary};

/// What a folder holds.
pub(super) enum State {
    /// No run.
    New,
    /// A run that ended before its results were written.
    Unfinished,
    /// The run that would be done now.
    Finished(Box<Summary>),
}

impl State {
    pub(super) fn earlier(&self) -> Earlier {
        match self {
            Self::New => Earlier::Nothing,
            Self::Unfinished => Earlier::Unfinished,
            Self::Finished(_) => Earlier::Finished,
        }
    }
}

/// Looks into a variant's folder.
///
/// # Errors
/// When it holds a finished run of something else, which is not thrown away.
pub(super) fn state(
    folder: &Path,
    recipe: &Recipe,
    seeds: usize,
    device: &str,
) -> Result<State, Error> {
    let path = folder.join("summary.json");
    match crate::left_in(folder)? {
        Left::Nothing => return Ok(State::New),
        Left::Interrupted { .. } => return Ok(State::Unfinished),
        Left::Finished if !path.exists() => return Ok(State::Unfinished),
        Left::Finished => {}
    }
    let other = |what: String| {
        Error::Recipe(format!(
            "{} holds a finished run with {what}; choose another folder with --out, or remove \
             this one",
            folder.display()
        ))
    };
    let read = |path: &Path| fs::read_to_string(path).map_err(io("read", path));
    let summary = Summary::read(&read(&path)?)
        .map_err(|e| other(format!("a summary that this kd cannot read ({e})")))?;
    let before: Table = read(&folder.join("recipe.toml"))?
        .parse()
        .map_err(|e| other(format!("a recipe that is no TOML ({e})")))?;
    let changed = differences(&without_free_keys(before), &resolved(recipe)?);
    if !changed.is_empty() {
        return Err(other(changed.join(", ")));
    }
    let trained: BTreeSet<_> = results::students(&summary).map(|a| a.seed).collect();
    if trained.len() != seeds {
        return Err(other(format!(
            "seeds = {} instead of {seeds}",
            trained.len()
        )));
    }
    let version = env!("CARGO_PKG_VERSION");
    if (summary.device.as_str(), summary.version.as_str()) != (device, version) {
        return Err(other(format!(
            "kd {} on {} instead of kd {version} on {device}",
            summary.version, summary.device
        )));
    }
    Ok(State::Finished(Box::new(summary)))
}

/// Keeps other studies and searches out of a folder for as long as the file is open.
///
/// # Errors
/// When another one is there.
pub(crate) fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join("study.lock");
    let open = File::options()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let file = open.map_err(io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Recipe(format!(
            "{} is in use by another `kd study`, `kd search` or `kd improve`: wait for it, or choose another folder with --out",
            folder.display()
        ))),
        Err(TryLockError::Error(e)) => Err(io("lock", &path)(e)),
    }
}

/// Removes an unfinished run that cannot be gone on with; the trainings that it finished are taken up again by
/// the next.
pub(super) fn clear(folder: &Path) -> Result<(), Error> {
    let failed = io("remove the unfinished run in", folder);
    for file in [
        "metrics.jsonl",
        "progress.json",
        "recipe.toml",
        "student.safetensors",
        "report.html",
        "README.md",
    ] {
        match fs::remove_file(folder.join(file)) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(failed(e));
            }
            _ => {}
        }
    }
    match fs::remove_dir_all(folder.join("checkpoints")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(failed(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_one_studys_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let first = lock(folder.path()).unwrap();
        let message = lock(folder.path()).unwrap_err().to_string();
        assert!(message.contains("in use by another"), "{message}");
        drop(first);
        lock(folder.path()).unwrap();
    }
}
