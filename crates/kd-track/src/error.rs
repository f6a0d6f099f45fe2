use std::path::{Path, PathBuf};

/// Why a tracker did not take something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A server refused, or did not answer.
    #[error("{uri}: {problem}")]
    Server {
        /// The server.
        uri: String,
        /// What it said, and what helps.
        problem: String,
        /// Whether the same may work later.
        passes: bool,
    },
    /// `metrics.jsonl` has a line that is none.
    #[error("{}, line at byte {at}: {problem}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Where the line begins.
        at: u64,
        /// What is wrong.
        problem: String,
    },
}

impl Error {
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Server { passes: true, .. })
    }
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}
