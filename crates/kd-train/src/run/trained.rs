//! A network of a run after its training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::folder::Folder;
use crate::records::Record;
use crate::summary::NetworkChange;
use crate::{Role, Score};

/// A network that will be measured.
pub(super) struct TrainedNetwork<N> {
    pub role: Role,
    pub seed: Option<u64>,
    /// Its name in the recipe.
    pub model: String,
    pub network: N,
    pub adapter_parameters: u64,
    /// Names of its teachers.
    pub learned_from: Vec<String>,
    pub training: Option<crate::summary::Training>,
    /// The first validation score of these weights, where it is known.
    pub validation: Option<Score>,
    /// What it was before its training.
    pub origin: Origin<N>,
}

/// What a network was before its training.
pub(super) struct Origin<N> {
    /// Whose weights it started with: `teacher`, or a stage.
    pub made_of: Option<String>,
    /// The networks after channels went or grids came.
    pub changed: Vec<(NetworkChange, N)>,
}

impl<N> Default for Origin<N> {
    fn default() -> Self {
        Self {
            made_of: None,
            changed: Vec::new(),
        }
    }
}

/// Where the best weights of a training are kept in the run folder.
pub(super) fn checkpoint(folder: &Folder, role: &Role, seed: u64) -> PathBuf {
    folder.checkpoint(&file_name(role, seed))
}

/// What the files of a training are called.
pub(super) fn file_name(role: &Role, seed: u64) -> String {
    format!("{}-seed{seed}", role.file_name())
}

/// The teacher and the finished stages of one seed, by name.
pub(super) type Done<N> = BTreeMap<String, N>;

/// The first validation score of an epoch, from the records of a training.
pub(super) fn validation(records: &[Record], role: &Role, epoch: usize) -> Option<Score> {
    records.iter().find_map(|record| match record {
        Record::Epoch(e) if e.role == *role && e.epoch == epoch => e.validation.first().cloned(),
        _ => None,
    })
}
