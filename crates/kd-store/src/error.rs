use std::path::{Path, PathBuf};

/// An error of a store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
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
    /// Another process does this work.
    #[error("{holder} does this now")]
    Busy {
        /// As it calls itself.
        holder: String,
    },
    /// A key has a character that not every store can hold.
    #[error("`{0}` is no key: use letters, digits, `-`, `_`, `+` and, not at the beginning, `.`")]
    Key(String),
    /// An object holds something else than a lease.
    #[error("`{key}` holds no lease ({problem}): remove it, when nobody works on it")]
    Lease {
        /// The object.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}
