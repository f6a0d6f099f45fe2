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

fn write(file: &mut File, saved: &Saved) -> io::Result<()> {
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
    let Hashing { inner, hash } = to.into_inner().map_err(io::IntoInnerError::into_error)?;
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

#[cfg(test)]
mod tests {
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    use super::super::{BestState, Place, StudentState, Totals, module_bytes, with_bytes};
    use super::*;
    use crate::Scores;
    use crate::state::LearnerState;

    fn module() -> Linear {
        LinearConfig::new(3, 2).init(&Device::flex())
    }

    fn saved(step: usize) -> Saved {
        let network = module_bytes(&module()).unwrap();
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

    /// The bytes of a state's file.
    fn bytes(saved: &Saved) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        write(&mut file, saved).unwrap();
        let mut bytes = Vec::new();
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_state_is_read_as_it_was_written() {
        let before = saved(5);
        let after = parse(&bytes(&before)).unwrap();
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
        let whole = bytes(&saved(1));
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length}");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 1 << (at % 8);
            assert!(parse(&other).is_err(), "{at}");
        }
    }

    /// What has the right checksum and is no state, as from another program, is an error too, and no panic.
    #[test]
    fn nonsense_with_a_checksum_is_refused() {
        let whole = bytes(&saved(1));
        let (mut refused, mut generator) = (0, 1u64);
        let mut next = || {
            generator = generator
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (generator >> 33) as usize
        };
        for _ in 0..3000 {
            let mut body = whole[..whole.len() - CHECKSUM].to_vec();
            for _ in 0..=next() % 4 {
                let at = HEADER + next() % (body.len() - HEADER);
                match next() % 3 {
                    0 => body[at] = next() as u8,
                    1 => body.truncate(at.max(HEADER)),
                    _ => body.insert(at, next() as u8),
                }
                if body.len() == HEADER {
                    break;
                }
            }
            let checksum = Sha256::digest(&body);
            body.extend(checksum);
            match parse(&body) {
                Err(_) => refused += 1,
                Ok(saved) => {
                    for student in &saved.state.students {
                        refused +=
                            usize::from(with_bytes(module(), &student.best.network).is_err());
                    }
                }
            }
        }
        assert!(refused > 1000, "{refused}");
    }
}
