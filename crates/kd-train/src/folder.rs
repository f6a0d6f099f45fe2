//! The run folder: files are whole or absent.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Error;
use crate::records::Record;

const METRICS: &str = "metrics.jsonl";

/// What a run writes beside its metrics and checkpoints.
const WRITTEN: [&str; 5] = [
    "README.md",
    "recipe.toml",
    "student.safetensors",
    "summary.json",
    "report.html",
];

/// A run's folder, created empty, with its metrics open for appending.
pub(crate) struct Folder {
    path: PathBuf,
    metrics: File,
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}

impl Folder {
    /// Creates the folder.
    ///
    /// # Errors
    /// [`Error::Format`] when it already holds a run, [`Error::Io`] when it cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let taken = |problem: String| Error::Format {
            path: path.into(),
            problem: format!("{problem}; choose another folder with --out"),
        };
        let run = || taken("already holds a run".into());
        if path.join(METRICS).exists() {
            return Err(run());
        }
        // Such as the recipe itself, which the run's would take the place of.
        if let Some(name) = WRITTEN.iter().find(|name| path.join(name).exists()) {
            return Err(taken(format!(
                "has a file `{name}`, which the run would write over"
            )));
        }
        let checkpoints = path.join("checkpoints");
        std::fs::create_dir_all(&checkpoints).map_err(io("create the run folder", path))?;
        let file = path.join(METRICS);
        let metrics = File::create_new(&file).map_err(|e| match e.kind() {
            // Another run was faster.
            std::io::ErrorKind::AlreadyExists => run(),
            _ => io("create", &file)(e),
        })?;
        Ok(Self {
            path: path.into(),
            metrics,
        })
    }

    /// Removes what [`Folder::create`] and the recipe left, when a run ended before any training
    /// began: a mistake in a recipe should not cost the user a folder's name.
    pub(crate) fn discard_unused(&self) {
        let begun = self.metrics.metadata().is_ok_and(|m| m.len() > 0);
        // Fails when weights were kept, and then everything stays.
        if !begun && std::fs::remove_dir(self.path.join("checkpoints")).is_ok() {
            for file in [METRICS, "recipe.toml"] {
                let _ = std::fs::remove_file(self.path.join(file));
            }
            // Fails when the user has files of their own in it.
            let _ = std::fs::remove_dir(&self.path);
        }
    }

    /// Where a role's best weights are kept while it trains.
    pub(crate) fn checkpoint(&self, name: &str) -> PathBuf {
        self.path
            .join("checkpoints")
            .join(format!("{name}.safetensors"))
    }

    /// Appends a line to `metrics.jsonl`.
    pub(crate) fn record(&mut self, record: &Record) -> Result<(), Error> {
        let path = self.path.join(METRICS);
        let mut line = to_json(&path, record, false)?;
        line.push('\n');
        self.metrics
            .write_all(line.as_bytes())
            .map_err(io("write", &path))
    }

    /// Writes a JSON file.
    pub(crate) fn json(&self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        let path = self.path.join(name);
        let text = to_json(&path, value, true)?;
        write_atomically(&path, text.as_bytes())
    }

    /// Writes a text file.
    pub(crate) fn text(&self, name: &str, text: &str) -> Result<(), Error> {
        write_atomically(&self.path.join(name), text.as_bytes())
    }
}

fn to_json(path: &Path, value: &impl Serialize, pretty: bool) -> Result<String, Error> {
    let text = if pretty {
        serde_json::to_string_pretty(value)
    } else {
        serde_json::to_string(value)
    };
    text.map_err(|e| Error::Format {
        path: path.into(),
        problem: e.to_string(),
    })
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
    // A temporary file is private; results are not.
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::Permissions::from_mode(0o644);
        file.as_file()
            .set_permissions(mode)
            .map_err(io("write", path))?;
    }
    file.persist(path)
        .map_err(|e| io("write", path)(e.error))
        .map(|_| ())
}
