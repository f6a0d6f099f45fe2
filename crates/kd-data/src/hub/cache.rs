//! A repository in the cache of the hub, as the hub's own tools lay it out:
//!
//! ```text
//! models--ORGANISATION--NAME/
//!   blobs/ETAG                   the files, by their content
//!   refs/REVISION                the commit of a branch or tag
//!   snapshots/COMMIT/FILE        links to blobs
//!   .no_exist/COMMIT/FILE        files that a commit does not have
//! .locks/models--ORGANISATION--NAME/ETAG.lock
//! ```

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::address::Address;
use crate::Error;

/// A repository in a cache.
pub(super) struct Cached {
    root: PathBuf,
    name: String,
}

impl Cached {
    pub(super) fn new(root: &Path, address: &Address) -> Self {
        Self {
            root: root.to_owned(),
            name: format!("models--{}", address.repository.replace('/', "--")),
        }
    }

    fn folder(&self) -> PathBuf {
        self.root.join(&self.name)
    }

    pub(super) fn blob(&self, etag: &str) -> PathBuf {
        self.folder().join("blobs").join(etag)
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder().join("snapshots").join(commit)
    }

    /// The commit of a revision, where it is known.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = fs::read_to_string(self.folder().join("refs").join(revision)).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// A file of a commit, where it is there.
    pub(super) fn file(&self, commit: &str, file: &str) -> Option<PathBuf> {
        let path = self.snapshot(commit).join(file);
        path.is_file().then_some(path)
    }

    /// Whether a commit is known not to have a file.
    pub(super) fn is_absent(&self, commit: &str, file: &str) -> bool {
        let mark = self.folder().join(".no_exist").join(commit).join(file);
        mark.exists()
    }

    pub(super) fn note_absent(&self, commit: &str, file: &str) -> Result<(), Error> {
        let mark = self.folder().join(".no_exist").join(commit).join(file);
        write(&mark, "")
    }

    pub(super) fn note_revision(&self, revision: &str, commit: &str) -> Result<(), Error> {
        if revision == commit || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        write(&self.folder().join("refs").join(revision), commit)
    }

    /// Waits until nobody else fetches a blob; nobody does while the file is held.
    pub(super) fn lock(&self, etag: &str) -> Result<File, Error> {
        let locks = self.root.join(".locks").join(&self.name);
        let path = locks.join(format!("{etag}.lock"));
        fs::create_dir_all(&locks).map_err(unwritable(&locks))?;
        let file = File::options().create(true).append(true).open(&path);
        let file = file.map_err(unwritable(&path))?;
        match file.lock() {
            // A file system without locks: two downloads at once are its user's to avoid.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => {
                Err(unwritable(&path)(error))
            }
            _ => Ok(file),
        }
    }

    /// Makes the folder of blobs.
    pub(super) fn prepare(&self) -> Result<(), Error> {
        let blobs = self.folder().join("blobs");
        fs::create_dir_all(&blobs).map_err(unwritable(&blobs))
    }

    /// Puts a blob into a commit's snapshot under the name of the file.
    pub(super) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf, Error> {
        let path = self.snapshot(commit).join(file);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(unwritable(folder))?;
        if path.is_file() {
            return Ok(path);
        }
        // What is left leads nowhere.
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).map_err(unwritable(&path))?;
        }
        let up = "../".repeat(file.split('/').count() + 1);
        link(&self.blob(etag), &format!("{up}blobs/{etag}"), &path).map_err(unwritable(&path))?;
        Ok(path)
    }
}

#[cfg(unix)]
fn link(_: &Path, relative: &str, path: &Path) -> io::Result<()> {
    match std::os::unix::fs::symlink(relative, path) {
        // Another program was faster.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Links need a privilege elsewhere: the hub's tools move the file then, and so do we.
#[cfg(not(unix))]
fn link(blob: &Path, _: &str, path: &Path) -> io::Result<()> {
    fs::rename(blob, path)
}

/// A full name of a commit.
pub(super) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(unwritable(folder))?;
    fs::write(path, text).map_err(unwritable(path))
}

pub(super) fn unwritable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    Error::io(
        "writing into the cache of the hub (the environment's HF_HOME names another folder)",
        path,
    )
}
