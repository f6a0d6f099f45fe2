//! A network of a run after its training.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::Role;
use crate::folder::Folder;

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
