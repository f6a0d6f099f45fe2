//! Where a case's files lie.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// A folder of one thread's own, in memory where the system has such a place.
#[derive(Debug)]
pub struct Scratch(TempDir);

impl Scratch {
    /// An empty folder.
    ///
    /// # Panics
    /// When none can be made.
    #[expect(
        clippy::new_without_default,
        reason = "a folder is made, which a default should not do"
    )]
    pub fn new() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()),
            false => tempfile::tempdir(),
        };
        Self(folder.expect("a temporary folder"))
    }

    /// The folder of a name, which is there.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.0.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    /// Writes a file, and returns its path. Folders of its name are made.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).expect("a folder");
        }
        std::fs::write(&path, bytes).expect("a file");
        path
    }

    /// As [`Scratch::file`], unless it is there.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn once(&self, name: &str, bytes: impl FnOnce() -> Vec<u8>) -> PathBuf {
        let path = self.0.path().join(name);
        if !path.exists() {
            self.file(name, &bytes());
        }
        path
    }
}
