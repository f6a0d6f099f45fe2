//! Folders of files in a store, each of which appears whole or not at all.
//!
//! Contents are objects that are called by their SHA-256. What is in a folder is an object that is put last, and only where
//! there is none. So a folder is complete as soon as it can be seen, its first version stays, and whoever dies on the way
//! leaves contents that nobody sees.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::io;
use crate::store::check_key;
use crate::{AnyStore, Error, open, publish, unfinished};

/// Folders by name.
#[derive(Clone)]
pub struct Archive {
    folders: AnyStore,
    contents: AnyStore,
}

/// What is in a folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    files: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

impl Archive {
    /// Folders in two stores: what is in them, and the contents.
    pub fn new(folders: AnyStore, contents: AnyStore) -> Self {
        Self { folders, contents }
    }

    /// The archive at a [place](open).
    ///
    /// # Errors
    /// As [`open`].
    pub fn open(place: &str) -> Result<Self, Error> {
        Ok(Self::new(
            open(place, "finished")?,
            open(place, "contents")?,
        ))
    }

    /// Whether there is a folder under a name.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn has(&self, name: &str) -> Result<bool, Error> {
        Ok(self.folders.get(name)?.is_some())
    }

    /// Puts the files of a folder under a name, and says whether they are there now: where a whole folder is already,
    /// that one stays. A damaged one is replaced.
    ///
    /// # Errors
    /// When a file cannot be read, or the store not be reached; the same call may then be made again.
    pub fn put(&self, name: &str, folder: &Path) -> Result<bool, Error> {
        let mut files = Vec::new();
        let entries = fs::read_dir(folder).map_err(io("read", folder))?;
        for entry in entries {
            let entry = entry.map_err(io("read", folder))?;
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            check_key(&name)?;
            let bytes = fs::read(&path).map_err(io("read", &path))?;
            let sha256 = self.put_content(&bytes)?;
            files.push(Entry {
                name,
                bytes: bytes.len() as u64,
                sha256,
            });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        let manifest = serde_json::json!(Manifest { files }).to_string();
        loop {
            if self.folders.create(name, manifest.as_bytes())?.is_some() {
                return Ok(true);
            }
            let Some(there) = self.folders.get(name)? else {
                continue;
            };
            // Its own, put by a call whose answer was lost.
            if there.bytes == manifest.as_bytes() {
                return Ok(true);
            }
            match self.read(name, &there.bytes) {
                Ok(_) => return Ok(false),
                Err(Error::Damaged { .. }) => {
                    let manifest = manifest.as_bytes();
                    if self
                        .folders
                        .replace(name, manifest, &there.version)?
                        .is_some()
                    {
                        return Ok(true);
                    }
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    /// Puts a content where there is none, or a damaged one; its name.
    fn put_content(&self, bytes: &[u8]) -> Result<String, Error> {
        let name = sha256(bytes);
        if self.contents.create(&name, bytes)?.is_none()
            && let Some(there) = self.contents.get(&name)?
            && there.bytes != bytes
        {
            self.contents.replace(&name, bytes, &there.version)?;
        }
        Ok(name)
    }

    /// Makes a folder of what is under a name; false where there is nothing.
    ///
    /// # Errors
    /// [`Error::Damaged`] when a content is missing or another; when the store cannot be reached or the folder not be
    /// written.
    pub fn get(&self, name: &str, place: &Path) -> Result<bool, Error> {
        let Some(there) = self.folders.get(name)? else {
            return Ok(false);
        };
        let files = self.read(name, &there.bytes)?;
        let whole = unfinished(place.parent().unwrap_or(Path::new("")))?;
        for (file, bytes) in files {
            let path = whole.path().join(file);
            fs::write(&path, bytes).map_err(io("write", &path))?;
        }
        publish(whole, place, &|there| there.is_dir())?;
        Ok(true)
    }

    /// The files of a folder, checked.
    fn read(&self, name: &str, manifest: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Error> {
        let damaged = |problem: String| Error::Damaged {
            name: name.into(),
            problem,
        };
        let manifest: Manifest =
            serde_json::from_slice(manifest).map_err(|problem| damaged(problem.to_string()))?;
        let mut files = Vec::new();
        for entry in manifest.files {
            // A name could lead out of the folder, and a content could be any object.
            check_key(&entry.name).map_err(|problem| damaged(problem.to_string()))?;
            check_key(&entry.sha256).map_err(|problem| damaged(problem.to_string()))?;
            let Some(there) = self.contents.get(&entry.sha256)? else {
                return Err(damaged(format!("the content of {} is missing", entry.name)));
            };
            if there.bytes.len() as u64 != entry.bytes || sha256(&there.bytes) != entry.sha256 {
                return Err(damaged(format!("{} has another checksum", entry.name)));
            }
            files.push((entry.name, there.bytes));
        }
        Ok(files)
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
