//! Answers in a file, which later runs read.
//!
//! A header, then answers of equal length one after the other:
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | [`MAGIC`] |
//! | 4 | [`VERSION`] |
//! | 4 | length of the text |
//! | 8 | answers that are certainly on the disk: those were written by epochs that ended |
//! | 32 | SHA-256 of the text |
//! | text | what the answers follow from, a line a part; `head -c 1000 FILE` shows it |
//! | 8 + answer + 8, each | key of the view, answer, first bytes of the SHA-256 of both |
//!
//! Numbers are little-endian. An answer is written at the end of the file as soon as it is there, and
//! is one when its checksum fits: a run that is interrupted leaves at most one that is not, and the
//! next run writes over it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::identity::Identity;
use crate::Error;
use crate::folder::io;

const MAGIC: &[u8; 8] = b"kdcache\n";
const VERSION: u32 = 1;
/// Where the number of certain answers stands.
const CERTAIN: u64 = 16;
/// Where the text begins.
const TEXT: usize = 56;
/// Bytes of answers that are held in memory before the file is mapped anew.
const RECENT: usize = 8 << 20;
const CURE: &str = "delete it, or set another teacher.cache.path";

/// An open file of answers; no other run can open it meanwhile.
#[derive(Debug)]
pub(super) struct CacheFile {
    path: PathBuf,
    file: File,
    /// Bytes of the header.
    start: usize,
    /// Bytes of an answer.
    answer: usize,
    /// Answers in the file.
    count: usize,
    certain: usize,
    map: Mmap,
    /// Answers that the map covers.
    mapped: usize,
    /// The answers after those.
    recent: Vec<u8>,
}

impl CacheFile {
    /// Opens a file, or makes it, and returns it with the keys of the answers it holds.
    ///
    /// # Errors
    /// [`Error::Format`] when it is in use, is not a cache, is one of something else (the error says
    /// what differs), was cut off or is damaged; [`Error::Io`].
    pub(super) fn open(path: &Path, identity: &Identity) -> Result<(Self, Vec<u64>), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(io("create the folder", folder))?;
        }
        let options = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let mut file = options.map_err(io("open the teacher cache", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(wrong(
                    path,
                    "is in use by another run: wait for that, or set another teacher.cache.path",
                ));
            }
            Err(TryLockError::Error(e)) => return Err(io("lock the teacher cache", path)(e)),
        }
        let length = file.metadata().map_err(io("read", path))?.len();
        if length == 0 {
            let header = header(&identity.text());
            file.write_all(&header).map_err(io("write", path))?;
        }
        let map = map(&file, path)?;
        let answer = identity.layout.bytes();
        let (start, certain) = read_header(&map, identity).map_err(|e| wrong(path, e))?;
        let keys = read_keys(&map[start..], answer, certain).map_err(|e| wrong(path, e))?;
        let mut cache = Self {
            path: path.into(),
            file,
            start,
            answer,
            count: keys.len(),
            certain,
            map,
            mapped: keys.len(),
            recent: Vec::new(),
        };
        cache.seek_end()?;
        Ok((cache, keys))
    }

    /// Writes an answer; the first is number 0.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn push(&mut self, key: u64, answer: &[u8]) -> Result<(), Error> {
        if self.recent.len() >= RECENT {
            self.remap()?;
        }
        let record = [&key.to_le_bytes(), answer, &checksum(key, answer)].concat();
        self.file
            .write_all(&record)
            .map_err(io("write", &self.path))?;
        self.recent.extend_from_slice(answer);
        self.count += 1;
        Ok(())
    }

    pub(super) fn get(&self, number: usize) -> &[u8] {
        match number.checked_sub(self.mapped) {
            None => {
                let record = self.start + number * stride(self.answer);
                &self.map[record + 8..][..self.answer]
            }
            Some(recent) => &self.recent[recent * self.answer..][..self.answer],
        }
    }

    /// Waits until everything is on the disk, and says so in the header.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn commit(&mut self) -> Result<(), Error> {
        if self.certain == self.count {
            return Ok(());
        }
        let written = self
            .file
            .sync_data()
            .and_then(|()| self.file.seek(SeekFrom::Start(CERTAIN)))
            .and_then(|_| self.file.write_all(&(self.count as u64).to_le_bytes()));
        written.map_err(io("write", &self.path))?;
        self.certain = self.count;
        self.seek_end()?;
        self.remap()
    }

    /// Bytes of the file.
    pub(super) fn bytes(&self) -> u64 {
        (self.start + self.count * stride(self.answer)) as u64
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Goes where the next answer belongs, over what an interrupted run left there.
    fn seek_end(&mut self) -> Result<(), Error> {
        self.file
            .seek(SeekFrom::Start(self.bytes()))
            .map_err(io("read", &self.path))
            .map(|_| ())
    }

    fn remap(&mut self) -> Result<(), Error> {
        self.map = map(&self.file, &self.path)?;
        self.mapped = self.count;
        self.recent.clear();
        Ok(())
    }
}

/// Bytes from one answer to the next.
fn stride(answer: usize) -> usize {
    8 + answer + 8
}

fn checksum(key: u64, answer: &[u8]) -> [u8; 8] {
    let digest = Sha256::new()
        .chain_update(key.to_le_bytes())
        .chain_update(answer)
        .finalize();
    std::array::from_fn(|i| digest[i])
}

fn header(text: &str) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(VERSION.to_le_bytes());
    header.extend((text.len() as u32).to_le_bytes());
    header.extend(0u64.to_le_bytes());
    header.extend(Sha256::digest(text));
    header.extend(text.as_bytes());
    header
}

/// The header's length, and how many answers are certain.
fn read_header(bytes: &[u8], identity: &Identity) -> Result<(usize, usize), String> {
    let number = |at: usize| -> Option<u32> {
        Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
    };
    if !bytes.starts_with(MAGIC) {
        if let Some(found) = kd_files::stand_in(bytes) {
            return Err(found.to_string());
        }
        return Err("is not a teacher cache: set another teacher.cache.path".into());
    }
    let cut_off = || format!("is cut off within its header: {CURE}");
    let version = number(8).ok_or_else(cut_off)?;
    if version != VERSION {
        return Err(format!(
            "is a teacher cache of format {version}, and this version writes {VERSION}: {CURE}"
        ));
    }
    let length = number(12).ok_or_else(cut_off)? as usize;
    let certain = bytes.get(16..24).and_then(|b| b.try_into().ok());
    let certain = u64::from_le_bytes(certain.ok_or_else(cut_off)?) as usize;
    let text = bytes.get(TEXT..TEXT + length).ok_or_else(cut_off)?;
    let text = match std::str::from_utf8(text) {
        Ok(valid) if Sha256::digest(text)[..] == bytes[24..TEXT] => valid,
        _ => return Err(format!("is damaged in its header: {CURE}")),
    };
    let differences = identity.differences(text);
    if !differences.is_empty() {
        return Err(format!(
            "is a cache of something else: {}. To use it no more, {CURE}",
            differences.join("; ")
        ));
    }
    Ok((TEXT + length, certain))
}

/// The keys of the answers that are whole, up to the first that is not.
fn read_keys(bytes: &[u8], answer: usize, certain: usize) -> Result<Vec<u64>, String> {
    let records = bytes.chunks_exact(stride(answer));
    if records.len() < certain {
        return Err(format!(
            "is cut off: {} of {certain} answers are left: {CURE}",
            records.len()
        ));
    }
    let mut keys = Vec::with_capacity(records.len());
    for record in records {
        let (key, rest) = record.split_at(8);
        let key = u64::from_le_bytes(std::array::from_fn(|i| key[i]));
        let (answer, sum) = rest.split_at(answer);
        if checksum(key, answer) == sum {
            keys.push(key);
        } else if keys.len() < certain {
            return Err(format!(
                "is damaged: the checksum of answer {} of {certain} does not fit: {CURE}",
                keys.len()
            ));
        } else {
            break;
        }
    }
    Ok(keys)
}

fn wrong(path: &Path, problem: impl Into<String>) -> Error {
    Error::Format {
        path: path.into(),
        problem: problem.into(),
    }
}

#[allow(
    unsafe_code,
    reason = "a map is only sound while nobody shortens or changes what it covers"
)]
fn map(file: &File, path: &Path) -> Result<Mmap, Error> {
    // SAFETY: this process holds the file's exclusive lock from before the first map until the last
    // is gone, so no other run has it open, and `CacheFile` itself writes only behind the answers
    // that the map is read for, and into the header's count, which is read before the first write.
    // Bytes have no invalid values. A foreign program that ignores the lock could shorten the
    // file, and reading a missing page would then end the process, as it would for any mapped file.
    unsafe { Mmap::map(file) }.map_err(io("map", path))
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
