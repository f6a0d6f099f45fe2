//! States on the disk: whole, checked, and the one before for when the last is damaged.
//!
//! | bytes | what |
//! | --- | --- |
//! | 8 | `kdstate` and a line feed |
//! | 4 | version, little-endian |
//! | any | a [`Saved`] as CBOR, which keeps floating-point numbers exactly |
//! | 32 | SHA-256 of everything before |

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::TrainingState;
use crate::Error;
use crate::fault;
use crate::folder::{io, publish};

const MAGIC: &[u8; 8] = b"kdstate\n";
const VERSION: u32 = 1;
const HEADER: usize = MAGIC.len() + 4;
const CHECKSUM: usize = 32;

/// A state, and what it belongs to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Saved {
    /// Name of the training, which follows from all that its result depends on.
    pub training: String,
    /// Records that it had written.
    pub records: usize,
    pub state: TrainingState,
}

/// The last two states of a training.
pub(crate) struct StateFiles {
    last: PathBuf,
    before: PathBuf,
}

impl StateFiles {
    /// `path` is where the last state is; the one before has `.before` after its name.
    pub fn new(path: PathBuf) -> Self {
        let mut before = path.clone().into_os_string();
        before.push(".before");
        Self {
            last: path,
            before: before.into(),
        }
    }

    /// Writes a state beside the last one, which then becomes the one before. A crash at any moment leaves
    /// at least one of them whole.
    ///
    /// # Errors
    /// [`Error::Io`]; both files are as they were then.
    pub fn write(&self, saved: &Saved) -> Result<(), Error> {
        let folder = self.last.parent().unwrap_or(Path::new("."));
        let wrong = |e| io("write", &self.last)(e);
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(wrong)?;
        write(file.as_file_mut(), saved).map_err(wrong)?;
        file.as_file().sync_all().map_err(wrong)?;
        fault::point("state written");
        if self.last.exists() {
            fs::rename(&self.last, &self.before).map_err(wrong)?;
        }
        fault::point("state moved");
        publish(file, &self.last)
    }

    /// The last state that is whole, with what is wrong with a later one.
    pub fn read(&self) -> (Option<Saved>, Vec<String>) {
        let mut problems = Vec::new();
        for path in [&self.last, &self.before] {
            match read(path) {
                Ok(saved) => return (Some(saved), problems),
                Err(problem) if path.exists() => {
                    problems.push(format!("{}: {problem}", path.display()));
                }
                Err(_) => {}
            }
        }
        (None, problems)
    }

    /// Removes both.
    pub fn remove(&self) {
        for path in [&self.last, &self.before] {
            // It is not there, or it stays and does no harm.
            let _ = fs::remove_file(path);
        }
    }
}

/// Passes bytes on, and counts them into a checksum.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        fault::point("state half written");
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn write(file: impl Write, saved: &Saved) -> io::Result<()> {
    let mut to = BufWriter::new(Hashing {
        inner: file,
        hash: Sha256::new(),
    });
    to.write_all(MAGIC)?;
    to.write_all(&VERSION.to_le_bytes())?;
    ciborium::into_writer(saved, &mut to).map_err(|e| match e {
        ciborium::ser::Error::Io(e) => e,
        ciborium::ser::Error::Value(problem) => io::Error::other(problem),
    })?;
    let Hashing { mut inner, hash } = to.into_inner().map_err(io::IntoInnerError::into_error)?;
    inner.write_all(&hash.finalize())
}

fn read(path: &Path) -> Result<Saved, String> {
    let mut bytes = Vec::new();
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    file.read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    parse(&bytes)
}

/// Reads a state from the bytes of its file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Saved, String> {
    let end = bytes
        .len()
        .checked_sub(CHECKSUM)
        .filter(|end| *end >= HEADER);
    let (Some(end), true) = (end, bytes.starts_with(MAGIC)) else {
        return Err("it is not a saved state, or was cut off".into());
    };
    let (body, checksum) = bytes.split_at(end);
    if Sha256::digest(body).as_slice() != checksum {
        return Err("it is damaged: its checksum is another".into());
    }
    let version = [8, 9, 10, 11].map(|at| body[at]);
    if u32::from_le_bytes(version) != VERSION {
        return Err("another version of this toolkit wrote it".into());
    }
    ciborium::from_reader(&body[HEADER..]).map_err(|e| e.to_string())
}

/// For the fuzzer, and for tests.
#[doc(hidden)]
pub mod fuzzing {
    use burn::nn::{Initializer, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::super::{BestState, LearnerState, Place, StudentState, Totals};
    use super::super::{module_bytes, with_bytes};
    use super::*;
    use crate::Scores;

    fn module() -> Linear {
        LinearConfig::new(3, 2)
            .with_initializer(Initializer::Zeros)
            .init(&Device::default())
    }

    pub(super) fn saved(step: usize) -> Saved {
        // Writing into memory cannot fail.
        let network = module_bytes(&module()).expect("a module in memory");
        let student = StudentState {
            learner: LearnerState::of_bytes(network.clone()),
            best: BestState {
                network,
                epoch: 1,
                seen: 2,
                improved: 1,
                scores: Some(Scores::default()),
            },
            totals: Totals {
                samples: 64.0,
                // No decimal form of moderate length says it exactly.
                loss: 1.0 / 3.0 + f64::EPSILON,
                components: [("kd".into(), f64::NAN)].into(),
            },
        };
        Saved {
            training: "0123".into(),
            records: 7,
            state: TrainingState {
                place: Place {
                    step,
                    ..Place::start()
                },
                students: vec![student],
                cache: None,
            },
        }
    }

    /// A state's file.
    pub fn state() -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, &saved(1)).expect("a file in memory");
        bytes
    }

    /// Reads a state's file, and the networks in it.
    pub fn read_state(bytes: &[u8]) -> Result<(), String> {
        for student in parse(bytes)?.state.students {
            with_bytes(module(), &student.best.network).map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// The checksum of a state's file, made right.
    pub fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
        if let Some(end) = bytes.len().checked_sub(CHECKSUM) {
            let checksum = Sha256::digest(&bytes[..end]);
            bytes[end..].copy_from_slice(&checksum);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::fuzzing::{saved, state};
    use super::*;

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let before = saved(5);
        let mut bytes = Vec::new();
        write(&mut bytes, &before).unwrap();
        let after = parse(&bytes).unwrap();
        assert_eq!((after.training.as_str(), after.records), ("0123", 7));
        assert_eq!(after.state.place, before.state.place);
        let [then, now] = [&before, &after].map(|s| &s.state.students[0]);
        assert_eq!(now.totals.loss.to_bits(), then.totals.loss.to_bits());
        assert!(now.totals.components["kd"].is_nan());
        assert_eq!(now.best.network, then.best.network);
    }

    #[test]
    fn the_state_before_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let files = StateFiles::new(folder.path().join("a.state"));
        assert!(files.read().0.is_none());
        for step in 1..=3 {
            files.write(&saved(step)).unwrap();
        }
        let step = || files.read().0.map(|saved| saved.state.step());
        assert_eq!(step(), Some(3));
        fs::write(folder.path().join("a.state"), "").unwrap();
        assert_eq!(step(), Some(2));
        assert_eq!(files.read().1.len(), 1);
        files.remove();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let whole = state();
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1 << (at % 8);
            assert!(parse(&other).is_err(), "{at}");
        }
    }
}
