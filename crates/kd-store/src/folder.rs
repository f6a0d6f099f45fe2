//! A store in a folder, also of a network file system.
//!
//! A key is a folder, a version a file in it, called by its number. A version is written beside its place and hard
//! linked to it, which a file system does whole and for one of several only. There are no locks, so none is left by a
//! machine that died.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::error::io;
use crate::store::check_key;
use crate::{Error, Object, Store, Version};

/// Versions that stay. A client of a network file system may see a listing that is a minute old; it must not find room
/// for a version that is long past.
const KEPT: u64 = 64;
/// How often a version is looked for that was removed while it was read.
const ATTEMPTS: usize = 16;
/// Of files that are not yet in their place.
const TEMPORARY: &str = ".writing-";

/// Objects as files of a folder. The file system must know hard links: NFS, Lustre, Ceph and local ones do.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The store in a folder, which is made where there is none.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(path: &Path) -> Result<Self, Error> {
        fs::create_dir_all(path).map_err(io("create", path))?;
        Ok(Self(path.into()))
    }

    fn versions(&self, key: &str) -> Result<PathBuf, Error> {
        check_key(key)?;
        Ok(self.0.join(key))
    }

    /// Links a file with the content to the place of a version; false where that is taken.
    fn link(&self, bytes: &[u8], place: &Path) -> Result<bool, Error> {
        let file = NamedTempFile::with_prefix_in(TEMPORARY, &self.0);
        let mut file = file.map_err(io("write in", &self.0))?;
        let written = file
            .write_all(bytes)
            .and_then(|()| file.as_file().sync_all());
        written.map_err(io("write", file.path()))?;
        match fs::hard_link(file.path(), place) {
            Ok(()) => Ok(true),
            // A server may have done it and its answer been lost: what is there is then this content.
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                Ok(fs::read(place).is_ok_and(|there| there == bytes))
            }
            Err(e) => Err(io(
                "link a version (the file system must know hard links)",
                place,
            )(e)),
        }
    }

    fn put(&self, key: &str, bytes: &[u8], number: u64) -> Result<Option<Version>, Error> {
        let folder = self.versions(key)?;
        fs::create_dir_all(&folder).map_err(io("create", &folder))?;
        if !self.link(bytes, &folder.join(number.to_string()))? {
            return Ok(None);
        }
        // Room that was free because its version had been removed: others are far ahead. One that only has a successor
        // was there first.
        if newest(&folder)?.is_none_or(|newest| newest >= number + KEPT) {
            return Ok(None);
        }
        if let Some(old) = number.checked_sub(KEPT) {
            remove_up_to(&folder, old);
        }
        Ok(Some(Version(number.to_string())))
    }
}

/// Numbers of the versions of a key.
fn numbers(folder: &Path) -> Result<Vec<u64>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(io("read", folder)(e)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.map_err(io("read", folder))?.file_name();
        found.extend(name.to_string_lossy().parse::<u64>().ok());
    }
    Ok(found)
}

fn newest(folder: &Path) -> Result<Option<u64>, Error> {
    Ok(numbers(folder)?.into_iter().max())
}

/// Nothing depends on what stays.
fn remove_up_to(folder: &Path, last: u64) {
    let old = numbers(folder).unwrap_or_default();
    for number in old.into_iter().filter(|number| *number <= last) {
        let _ = fs::remove_file(folder.join(number.to_string()));
    }
}

impl Store for Folder {
    fn get(&self, key: &str) -> Result<Option<Object>, Error> {
        let folder = self.versions(key)?;
        let mut gone = None;
        for _ in 0..ATTEMPTS {
            let Some(number) = newest(&folder)? else {
                return Ok(None);
            };
            let path = folder.join(number.to_string());
            match fs::read(&path) {
                Ok(bytes) => {
                    let version = Version(number.to_string());
                    return Ok(Some(Object { bytes, version }));
                }
                Err(e) => gone = Some(io("read", &path)(e)),
            }
        }
        gone.map_or(Ok(None), Err)
    }

    fn create(&self, key: &str, bytes: &[u8]) -> Result<Option<Version>, Error> {
        match newest(&self.versions(key)?)? {
            Some(_) => Ok(None),
            None => self.put(key, bytes, 1),
        }
    }

    fn replace(
        &self,
        key: &str,
        bytes: &[u8],
        version: &Version,
    ) -> Result<Option<Version>, Error> {
        let folder = self.versions(key)?;
        match (newest(&folder)?, version.0.parse::<u64>()) {
            (Some(newest), Ok(number)) if newest == number => self.put(key, bytes, number + 1),
            _ => Ok(None),
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut keys = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(io("read", &self.0))? {
            let entry = entry.map_err(io("read", &self.0))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.')
                && name.starts_with(prefix)
                && newest(&entry.path())?.is_some()
            {
                keys.push(name);
            }
        }
        keys.sort();
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Folder) {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::new(&folder.path().join("store")).unwrap();
        (folder, store)
    }

    #[test]
    fn an_object_is_put_once_and_replaced_by_its_version() {
        let (_folder, store) = store();
        assert_eq!(store.get("a").unwrap(), None);
        let first = store.create("a", b"one").unwrap().unwrap();
        assert_eq!(store.create("a", b"two").unwrap(), None);
        let second = store.replace("a", b"two", &first).unwrap().unwrap();
        assert_eq!(store.replace("a", b"three", &first).unwrap(), None);
        let there = store.get("a").unwrap().unwrap();
        assert_eq!((there.bytes, there.version), (b"two".to_vec(), second));
        store.create("ab", b"").unwrap().unwrap();
        store.create("b", b"").unwrap().unwrap();
        assert_eq!(store.list("a").unwrap(), ["a", "ab"]);
    }

    #[test]
    fn of_many_at_once_one_wins_each_version() {
        let (_folder, store) = store();
        let version = store.create("a", b"0").unwrap().unwrap();
        let wins: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|me: u8| {
                    let (store, version) = (&store, &version);
                    scope.spawn(move || store.replace("a", &[me], version).unwrap().is_some())
                })
                .collect();
            threads
                .into_iter()
                .map(|t| usize::from(t.join().unwrap()))
                .sum()
        });
        assert_eq!(wins, 1);
        // Each adds one to a number, as often as it takes; no thread can fall so far behind that its version is removed.
        let store = &store;
        store.create("sum", b"0").unwrap().unwrap();
        let read = || -> (u64, Version) {
            let there = store.get("sum").unwrap().unwrap();
            let text = String::from_utf8(there.bytes).unwrap();
            let sum = text.split_whitespace().next().unwrap();
            (sum.parse().unwrap(), there.version)
        };
        let (threads, times) = (4, 20);
        std::thread::scope(|scope| {
            for me in 0..threads {
                scope.spawn(move || {
                    for turn in 0..times {
                        loop {
                            let (sum, version) = read();
                            let next = format!("{} of {me} turn {turn}", sum + 1);
                            if store
                                .replace("sum", next.as_bytes(), &version)
                                .unwrap()
                                .is_some()
                            {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(read().0, threads * times);
        let left = numbers(&store.0.join("sum")).unwrap().len() as u64;
        assert!(left <= KEPT + threads, "{left} versions are left");
    }

    #[test]
    fn a_writer_with_an_old_listing_changes_nothing() {
        let (_folder, store) = store();
        let mut version = store.create("a", b"").unwrap().unwrap();
        for _ in 0..2 * KEPT {
            version = store.replace("a", b"new", &version).unwrap().unwrap();
        }
        // The place of an early version is free again.
        assert!(!store.0.join("a/2").exists());
        assert_eq!(store.put("a", b"late", 2).unwrap(), None);
        assert_eq!(store.get("a").unwrap().unwrap().bytes, b"new");
    }

    #[test]
    fn keys_are_names_of_files() {
        let (_folder, store) = store();
        for key in ["", "a/b", "..", ".a", "ä", "a b"] {
            let message = store.create(key, b"").unwrap_err().to_string();
            assert!(message.contains("is no key"), "{message}");
        }
    }
}
