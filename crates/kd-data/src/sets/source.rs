//! The bytes of a set's files, out of a folder or a `.tar.gz`, with their checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};

use super::Progress;
use crate::Error;

/// No file of a set is larger (CIFAR-100's training file has 154 MB); a bound on what a damaged or
/// hostile archive can make us allocate.
const LARGEST: u64 = 1 << 30;

/// Files of a set, by name.
pub(super) struct Files {
    /// The folder or archive.
    pub origin: PathBuf,
    /// Those of the wanted files that are there.
    pub entries: BTreeMap<String, Vec<u8>>,
    /// Of the archive, or of the entries.
    pub sha256: String,
}

impl Files {
    /// Takes a file out.
    pub(super) fn take(&mut self, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = self.origin.join(name);
        match self.entries.remove(name) {
            Some(bytes) => Ok((path, bytes)),
            None => Err(Error::format(
                &self.origin,
                format!("holds no `{name}`, which this data set needs"),
            )),
        }
    }
}

/// A checksum over files, each as its name, its length and its bytes.
#[derive(Default)]
pub(super) struct FilesHash(Sha256);

impl FilesHash {
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.update(name.as_bytes());
        self.0.update([0]);
        self.0.update((bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Refuses what lies in the place of a binary file, such as a pointer of Git LFS.
pub(super) fn refuse_stand_in(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    match kd_files::stand_in(bytes) {
        Some(found) => Err(Error::format(path, found.to_string())),
        None => Ok(()),
    }
}

/// Reads those of the files `names` that a folder holds.
pub(super) fn read_folder(
    folder: &Path,
    names: &[&str],
    progress: &mut dyn FnMut(Progress),
) -> Result<Files, Error> {
    let mut entries = BTreeMap::new();
    for name in names {
        let path = folder.join(name);
        if path.is_file() {
            progress(Progress::Reading(path.display().to_string()));
            let bytes = std::fs::read(&path).map_err(Error::io("reading", &path))?;
            // Class names are text.
            if !name.ends_with(".txt") {
                refuse_stand_in(&path, &bytes)?;
            }
            entries.insert((*name).to_string(), bytes);
        }
    }
    let mut hash = FilesHash::default();
    for (name, bytes) in &entries {
        hash.add(name, bytes);
    }
    Ok(Files {
        origin: folder.to_path_buf(),
        entries,
        sha256: hash.finish(),
    })
}

/// Hashes what passes through.
struct Hashing<R> {
    inner: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Reads those of the files `names` that a `.tar.gz` holds, in whatever folder.
pub(super) fn read_archive(
    path: &Path,
    names: &[&str],
    progress: &mut dyn FnMut(Progress),
) -> Result<Files, Error> {
    progress(Progress::Reading(path.display().to_string()));
    let mut file = File::open(path).map_err(Error::io("opening", path))?;
    let mut start = Vec::new();
    file.by_ref()
        .take(kd_files::START as u64)
        .read_to_end(&mut start)
        .and_then(|_| file.rewind())
        .map_err(Error::io("reading", path))?;
    refuse_stand_in(path, &start)?;
    let mut hashing = Hashing {
        inner: BufReader::with_capacity(1 << 16, file),
        hash: Sha256::new(),
    };
    let damaged = |source: io::Error| {
        Error::format(
            path,
            format!(
                "this is no complete .tar.gz: it is truncated or damaged ({source}); \
                 delete it and fetch it again"
            ),
        )
    };
    let entries = unpack(&mut hashing, path, names, damaged)?;
    // What follows the compressed stream belongs to the file, so to its checksum.
    io::copy(&mut hashing, &mut io::sink()).map_err(Error::io("reading", path))?;
    Ok(Files {
        origin: path.to_path_buf(),
        entries,
        sha256: hex(&hashing.hash.finalize()),
    })
}

fn unpack(
    compressed: &mut impl Read,
    path: &Path,
    names: &[&str],
    damaged: impl Fn(io::Error) -> Error,
) -> Result<BTreeMap<String, Vec<u8>>, Error> {
    let mut archive = tar::Archive::new(GzDecoder::new(compressed));
    let mut entries = BTreeMap::new();
    for entry in archive.entries().map_err(&damaged)? {
        let mut entry = entry.map_err(&damaged)?;
        let name = match entry.path().map_err(&damaged)?.file_name() {
            Some(name) => name.to_string_lossy().into_owned(),
            None => continue,
        };
        if !entry.header().entry_type().is_file() || !names.contains(&name.as_str()) {
            continue;
        }
        if entry.size() > LARGEST {
            let problem = format!("`{name}` has {} bytes, at most {LARGEST}", entry.size());
            return Err(Error::format(path, problem));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(&damaged)?;
        entries.insert(name, bytes);
    }
    // To the end, so that gzip's own checksum is compared.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(&damaged)?;
    Ok(entries)
}

/// Uncompressed content of bytes that may be gzip.
pub(super) fn ungzip(path: &Path, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut plain = Vec::new();
    GzDecoder::new(bytes.as_slice())
        .take(LARGEST)
        .read_to_end(&mut plain)
        .map_err(|source| {
            let problem = format!("gzip data are truncated or damaged ({source}); fetch it again");
            Error::format(path, problem)
        })?;
    Ok(plain)
}
