use std::path::{Path, PathBuf};

/// Why there are no job files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An option has a value that the engine cannot have.
    #[error("{option}: {problem}")]
    Option {
        /// The option, as the command calls it.
        option: &'static str,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// A file could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
}

pub(crate) fn wrong(option: &'static str, problem: impl Into<String>) -> Error {
    Error::Option {
        option,
        problem: problem.into(),
    }
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}
