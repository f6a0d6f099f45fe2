//! `progress.json`: what an unfinished run has done. A run that ended has none.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{io, write_json};
use crate::Error;
use crate::state::CacheState;

const FILE: &str = "progress.json";

/// What an unfinished run is, and what it has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Version of this toolkit.
    pub version: String,
    /// Device that computes, as given to `--device`.
    pub device: String,
    /// Seeds that it trains.
    pub seeds: usize,
    /// What the teacher cache held when the run began to ask it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheState>,
    /// Finished trainings, in their order.
    pub finished: Vec<FinishedTraining>,
}

/// A finished training.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FinishedTraining {
    /// Its folder among the finished trainings.
    pub training: String,
    /// What the run had of its teacher cache then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheState>,
}

impl Progress {
    /// Before the first training.
    pub fn new(device: &str, seeds: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").into(),
            device: device.into(),
            seeds,
            cache: None,
            finished: Vec::new(),
        }
    }

    /// Reads the one of a run folder; none where there is none.
    pub fn read(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(io("read", &path)(e)),
        };
        let progress = serde_json::from_str(&text).map_err(|e| Error::Format {
            path,
            problem: format!(
                "does not say what an interrupted run has done ({e}): choose another folder with --out"
            ),
        })?;
        Ok(Some(progress))
    }

    /// Refuses to go on as another run.
    pub fn check(&self, folder: &Path, wanted: &Self) -> Result<(), Error> {
        let pairs = [
            ("--seeds", self.seeds.to_string(), wanted.seeds.to_string()),
            ("--device", self.device.clone(), wanted.device.clone()),
            ("kd's version", self.version.clone(), wanted.version.clone()),
        ];
        let differs = pairs.into_iter().find(|(_, old, new)| old != new);
        match differs {
            None => Ok(()),
            Some((what, old, new)) => Err(Error::Taken {
                path: folder.into(),
                problem: format!("holds an interrupted run with {what} {old}, not {new}"),
                busy: false,
            }),
        }
    }

    pub fn write(&self, folder: &Path) -> Result<(), Error> {
        write_json(&folder.join(FILE), self)
    }

    /// Whether it is in a folder.
    pub fn written(&self, folder: &Path) -> bool {
        folder.join(FILE).exists()
    }

    pub fn remove(folder: &Path) -> Result<(), Error> {
        let path = folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(io("remove", &path)(e)),
            _ => Ok(()),
        }
    }
}
