//! The run folder: files are whole or absent, and an interrupted run goes on in its own.

mod metrics;
mod progress;

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use self::metrics::Metrics;
pub(crate) use self::progress::{FinishedTraining, Progress};
use crate::cache::TeacherCache;
use crate::recipe::{differences, resolved, without_free_keys};
use crate::records::Record;
use crate::{Error, Recipe, fault};

const METRICS: &str = "metrics.jsonl";
const RECIPE: &str = "recipe.toml";
/// Where best weights and states are.
const CHECKPOINTS: &str = "checkpoints";

/// What a run writes beside its metrics and checkpoints.
const WRITTEN: [&str; 5] = [
    "README.md",
    RECIPE,
    "student.safetensors",
    "summary.json",
    "report.html",
];

/// A run's folder, which no other run writes into meanwhile.
pub(crate) struct Folder {
    path: PathBuf,
    metrics: Metrics,
    progress: Progress,
    /// Trainings of the run so far: those noted after them are what an interrupted run did.
    trainings: usize,
    /// Whether an interrupted run left it.
    goes_on: bool,
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}

/// What a file of a run's folder holds that another command may have written; none where there is no such file.
/// `what` says what it is not, and `cure` what to do, where it cannot be read.
pub(crate) fn kept_json<T: DeserializeOwned>(
    path: PathBuf,
    what: &str,
    cure: &str,
) -> Result<Option<T>, Error> {
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(problem) if problem.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(problem) => return Err(io("read", &path)(problem)),
    };
    let read = serde_json::from_str(&text).map(Some);
    read.map_err(|problem| Error::Format {
        path,
        problem: format!("{what} ({problem}): {cure}"),
    })
}

/// What is found where a run is to go.
#[derive(Debug)]
pub(crate) enum Found {
    /// No run.
    Nothing,
    /// A run that ended, or was written by a version that could not go on.
    Ended,
    /// A run that ended early.
    Interrupted(Progress),
}

/// Looks at a folder.
///
/// # Errors
/// When what a run left of its progress cannot be read.
pub(crate) fn look(path: &Path) -> Result<Found, Error> {
    if let Some(progress) = Progress::read(path)? {
        return Ok(Found::Interrupted(progress));
    }
    let metrics = path.join(METRICS).metadata();
    // A run that ended before it could say what it is has empty ones.
    Ok(if metrics.is_ok_and(|m| m.len() > 0) {
        Found::Ended
    } else {
        Found::Nothing
    })
}

impl Folder {
    /// Makes the folder of a new run, with its recipe, or with `resume` opens that of an interrupted one.
    ///
    /// # Errors
    /// [`Error::Taken`] when another run is in it, or it holds one or files that the run would write over,
    /// [`Error::Io`] when it cannot be written.
    pub(crate) fn open(
        path: &Path,
        recipe: &Recipe,
        progress: Progress,
        resume: bool,
    ) -> Result<Self, Error> {
        std::fs::create_dir_all(path.join(CHECKPOINTS))
            .map_err(io("create the run folder", path))?;
        let metrics = Metrics::open(&path.join(METRICS))?;
        let mut folder = Self {
            path: path.into(),
            metrics,
            progress,
            trainings: 0,
            goes_on: false,
        };
        let taken = |problem: &str| Error::Taken {
            path: path.into(),
            problem: problem.into(),
            busy: false,
        };
        match look(path)? {
            Found::Ended => Err(taken("already holds a run")),
            Found::Interrupted(_) if !resume => Err(taken(
                "already holds a run, which was interrupted: --resume goes on with it",
            )),
            Found::Interrupted(left) => {
                left.check(path, &folder.progress)?;
                folder.check_recipe(recipe)?;
                folder.metrics.read()?;
                folder.progress = left;
                folder.goes_on = true;
                Ok(folder)
            }
            Found::Nothing => {
                // Such as the recipe itself, which the run's would take the place of.
                if let Some(name) = WRITTEN.iter().find(|name| path.join(name).exists()) {
                    folder.discard_unused();
                    return Err(taken(&format!(
                        "has a file `{name}`, which the run would write over"
                    )));
                }
                folder.progress.write(path)?;
                folder.text(RECIPE, &recipe.to_toml()?)?;
                Ok(folder)
            }
        }
    }

    /// Refuses to go on with another recipe.
    fn check_recipe(&self, recipe: &Recipe) -> Result<(), Error> {
        let path = self.path.join(RECIPE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            // The run ended before it could write it.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return self.text(RECIPE, &recipe.to_toml()?);
            }
            Err(e) => return Err(io("read", &path)(e)),
        };
        let other = |problem: String| Error::Taken {
            path: self.path.clone(),
            problem: format!("holds an interrupted run with {problem}"),
            busy: false,
        };
        let table = text
            .parse()
            .map_err(|e| other(format!("a recipe.toml that is no TOML ({e})")))?;
        let before = without_free_keys(table);
        let changed = differences(&before, &resolved(recipe)?);
        match changed.is_empty() {
            true => Ok(()),
            false => Err(other(changed.join(", "))),
        }
    }

    /// Whether an interrupted run left it.
    pub(crate) fn goes_on(&self) -> bool {
        self.goes_on
    }

    /// What an interrupted run noted of the training that comes next, if it had finished it.
    pub(crate) fn had_finished(&mut self, training: &str) -> Option<FinishedTraining> {
        let next = self.progress.finished.get(self.trainings);
        let done = next.filter(|done| done.training == training).cloned();
        match &done {
            Some(_) => self.trainings += 1,
            // What it did from here on was something else.
            None => self.progress.finished.truncate(self.trainings),
        }
        done
    }

    /// Notes what the teacher cache holds before the run asks it, or takes what it held before an interrupted run
    /// asked it.
    pub(crate) fn opened(&mut self, cache: &mut TeacherCache) -> Result<(), Error> {
        match self.progress.cache {
            Some(then) => {
                cache.restore(then);
                Ok(())
            }
            None => {
                self.progress.cache = Some(cache.state());
                self.progress.write(&self.path)
            }
        }
    }

    /// Notes that a training is finished.
    pub(crate) fn finished(&mut self, training: FinishedTraining) -> Result<(), Error> {
        self.progress.finished.push(training);
        self.trainings += 1;
        self.progress.write(&self.path)
    }

    /// Ends the run: what it would go on from is no longer needed.
    pub(crate) fn complete(&mut self) -> Result<(), Error> {
        self.metrics.cut()?;
        Progress::remove(&self.path)
    }

    /// Removes what [`Folder::open`] left, when a new run ended before any training began: a mistake in a recipe
    /// should not cost the user a folder's name.
    pub(crate) fn discard_unused(&self) {
        // Fails when weights were kept, and then everything stays.
        let unused = !self.goes_on && self.metrics.is_empty();
        if unused && std::fs::remove_dir(self.path.join(CHECKPOINTS)).is_ok() {
            if self.progress.written(&self.path) {
                let _ = std::fs::remove_file(self.path.join(RECIPE));
            }
            let _ = Progress::remove(&self.path);
            let _ = std::fs::remove_file(self.path.join(METRICS));
            // Fails when the user has files of their own in it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }

    /// Where a role's best weights are kept while it trains.
    pub(crate) fn checkpoint(&self, name: &str) -> PathBuf {
        let file = format!("{name}.safetensors");
        self.path.join(CHECKPOINTS).join(file)
    }

    /// Where the state of a training is kept while it trains.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path.join(CHECKPOINTS).join(format!("{name}.state"))
    }

    /// Appends a line to `metrics.jsonl`; in a run that goes on, a line that is there stays.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Error> {
        self.metrics.record(record)
    }

    /// The next `count` records that an interrupted run left, which count as written; none when they are not
    /// there.
    pub(crate) fn left(&mut self, count: usize) -> Option<Vec<Record>> {
        self.metrics.take(count)
    }

    /// Waits until the metrics are on the disk.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.metrics.sync()
    }

    /// Writes a JSON file.
    pub(crate) fn json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        write_json(&self.path.join(name), value)
    }

    /// Writes a text file.
    pub(crate) fn text(&self, name: &str, text: &str) -> Result<(), Error> {
        write_atomically(&self.path.join(name), text.as_bytes())
    }
}

/// Writes a JSON file that people can read.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::Format {
        path: path.into(),
        problem: e.to_string(),
    })?;
    write_atomically(path, text.as_bytes())
}

/// Writes beside the target and renames, so that a crash leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io("write", path))?;
    file.write_all(bytes)
        .and_then(|()| file.as_file().sync_all())
        .map_err(io("write", path))?;
    publish(file, path)
}

/// Gives a written file its name, and waits until the name is on the disk too.
pub(crate) fn publish(file: tempfile::NamedTempFile, path: &Path) -> Result<(), Error> {
    // A temporary file is private; results are not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(mode)
            .map_err(io("write", path))?;
    }
    fault::point("file written");
    file.persist(path).map_err(|e| io("write", path)(e.error))?;
    fault::point("file named");
    #[cfg(unix)]
    if let Some(folder) = path.parent().and_then(|folder| File::open(folder).ok()) {
        // Not every file system can.
        let _ = folder.sync_all();
    }
    Ok(())
}
