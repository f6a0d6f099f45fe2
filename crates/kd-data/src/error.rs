//! What can be wrong with data.

use std::path::{Path, PathBuf};

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A key of the recipe's `[data]` is wrong.
    #[error("data.{key} = {value}: {expected}")]
    Config {
        /// The key, below `data`.
        key: &'static str,
        /// The value given.
        value: String,
        /// What would be right.
        expected: String,
    },
    /// A data set is not where it was looked for, and could not be fetched.
    #[error(
        "no data for `{name}`.\n  looked for: {}\n  download: {download}\n  cure: {cure}\n  \
         `cargo xtask quickstart` needs no data set and no network", looked.join(", ")
    )]
    Missing {
        /// The set's name.
        name: String,
        /// Every place that was tried.
        looked: Vec<String>,
        /// What became of the download.
        download: String,
        /// What the user can do.
        cure: String,
    },
    /// A file or folder could not be read or written.
    #[error("{what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong, where in the file, and what would be right.
        problem: String,
    },
    /// A download failed for good.
    #[error("{url}: {problem}")]
    Download {
        /// What was fetched.
        url: String,
        /// Why it failed and what to do.
        problem: String,
    },
    /// What an address of the hub names cannot be had.
    #[error("{address}: {problem}")]
    Hub {
        /// The address.
        address: String,
        /// Why, and what to do.
        problem: String,
    },
    /// A value of a recipe's `[detection]` is out of its range.
    #[error("detection.{key} = {value}: {expected}")]
    Detection {
        /// The key.
        key: &'static str,
        /// The value given.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// There is nothing to make batches of, or the loader is misconfigured.
    #[error("loader: {0}")]
    Loader(String),
}

impl Error {
    pub(crate) fn config(
        key: &'static str,
        value: impl std::fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Config {
            key,
            value: value.to_string(),
            expected: expected.into(),
        }
    }

    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io {
            what,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn format(path: impl AsRef<Path>, problem: impl Into<String>) -> Self {
        Self::Format {
            path: path.as_ref().to_path_buf(),
            problem: problem.into(),
        }
    }
}
