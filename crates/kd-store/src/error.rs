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
    /// An object store could not be asked.
    #[error("{what} {place}: {problem}")]
    Objects {
        /// What was tried.
        what: &'static str,
        /// The object.
        place: String,
        /// Why it failed.
        problem: String,
    },
    /// An address is none of an object store.
    #[error("{address}: {problem}")]
    Address {
        /// As it was given.
        address: String,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// The server of a store ignores conditions.
    #[error(
        "the store puts an object also where one {0} was asked for: its server ignores the conditions If-Match and \
         If-None-Match, on which leases rely; take a newer version of the server, or a folder"
    )]
    Unconditional(&'static str),
    /// What is in a store is not what was put there.
    #[error("`{name}` in the store is damaged: {problem}")]
    Damaged {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        problem: String,
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

impl Error {
    /// Whether the user named what cannot be.
    pub fn is_of_the_user(&self) -> bool {
        matches!(self, Self::Address { .. } | Self::Unconditional(_))
    }
}

pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let path = path.to_path_buf();
    move |source| Error::Io { what, path, source }
}
