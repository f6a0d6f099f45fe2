//! `metrics.jsonl`, to which lines are appended; a run that goes on walks over those that are there.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::io;
use crate::Error;
use crate::records::Record;

/// The open file, which is locked against other runs for as long as it is open.
pub(super) struct Metrics {
    path: PathBuf,
    file: File,
    /// Bytes of the lines that this run stands behind.
    end: u64,
    /// Lines after those, which an interrupted run left.
    left: VecDeque<Line>,
}

struct Line {
    record: Record,
    bytes: u64,
}

impl Metrics {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// [`Error::Taken`] when another run has it open.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(io("create", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Taken {
                    path: path.parent().unwrap_or(path).into(),
                    problem: "is in use by another run: wait for it".into(),
                    busy: true,
                });
            }
            // Such as a network's file system: then nobody is kept out.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(io("lock", path)(e)),
        }
        Ok(Self {
            path: path.into(),
            file,
            end: 0,
            left: VecDeque::new(),
        })
    }

    /// Reads the lines that an interrupted run left, up to the first that is not whole.
    pub fn read(&mut self) -> Result<(), Error> {
        let mut bytes = Vec::new();
        self.file
            .read_to_end(&mut bytes)
            .map_err(io("read", &self.path))?;
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        self.left = lines
            .map_while(|line| {
                let text = str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
                let record = Record::read(text).ok()?;
                let bytes = line.len() as u64;
                Some(Line { record, bytes })
            })
            .collect();
        if self.left.is_empty() {
            self.cut()
        } else {
            Ok(())
        }
    }

    /// Whether no line was written.
    pub fn is_empty(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.len() == 0)
    }

    /// Appends a line. One that an interrupted run left in its place stays when it says the same but for the
    /// speed; else it goes, with all after it.
    pub fn record(&mut self, record: &Record) -> Result<(), Error> {
        if let Some(line) = self.left.pop_front() {
            if same(&line.record, record)? {
                self.end += line.bytes;
                return match self.left.is_empty() {
                    // What follows is no whole line.
                    true => self.cut(),
                    false => Ok(()),
                };
            }
            self.cut()?;
        }
        let line = text(record)? + "\n";
        self.file
            .write_all(line.as_bytes())
            .map_err(io("write", &self.path))?;
        self.end += line.len() as u64;
        Ok(())
    }

    /// The next lines that an interrupted run left, which count as written. What follows them goes.
    pub fn take(&mut self, count: usize) -> Option<Vec<Record>> {
        if self.left.len() < count {
            return None;
        }
        let lines = self.left.drain(..count);
        let (records, bytes): (Vec<_>, Vec<_>) = lines.map(|l| (l.record, l.bytes)).unzip();
        self.end += bytes.iter().sum::<u64>();
        self.cut().ok()?;
        Some(records)
    }

    /// Drops what this run does not stand behind.
    pub fn cut(&mut self) -> Result<(), Error> {
        self.left.clear();
        self.file
            .set_len(self.end)
            .and_then(|()| self.file.seek(SeekFrom::Start(self.end)))
            .map_err(io("write", &self.path))
            .map(|_| ())
    }

    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(io("write", &self.path))
    }
}

fn text(record: &Record) -> Result<String, Error> {
    serde_json::to_string(record)
        .map_err(|e| Error::Recipe(format!("a record has no JSON form: {e}")))
}

/// Whether two records say the same but for the time that it took.
fn same(left: &Record, new: &Record) -> Result<bool, Error> {
    let left = text(&left.timeless())?;
    let new = text(&new.timeless())?;
    // Reading may change the last digit of a number: what was left was read, what is new perhaps not.
    let read = Record::read(&new).map_err(|e| Error::Recipe(e.to_string()))?;
    Ok(left == new || left == text(&read)?)
}
