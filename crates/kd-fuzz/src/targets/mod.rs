//! The parsers, and files that they accept.

mod boxes;
mod data;
mod folders;
mod layers;
mod runs;
mod weights;

use crate::Scratch;

/// One parser.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Reads bytes as the file that the parser reads.
    ///
    /// # Errors
    /// What the parser says of them.
    pub run: fn(&Scratch, &[u8]) -> Result<(), String>,
    /// Files that it accepts.
    pub seeds: Vec<Seed>,
    /// Words that mean something to it.
    pub words: &'static [&'static [u8]],
    /// Bytes that it may allocate for a file of none.
    pub allowance: u64,
    /// Bytes more for each byte of the file.
    pub multiple: u64,
}

/// A file that is mutated.
pub struct Seed {
    /// What is mutated.
    pub bytes: Vec<u8>,
    /// Makes the file of it: puts it into an archive, or makes its checksums right.
    pub repair: Option<fn(Vec<u8>) -> Vec<u8>>,
}

impl Seed {
    fn plain(bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            bytes: bytes.into(),
            repair: None,
        }
    }

    fn inside(bytes: impl Into<Vec<u8>>, repair: fn(Vec<u8>) -> Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            repair: Some(repair),
        }
    }

    /// The file before any mutation.
    pub fn file(&self) -> Vec<u8> {
        match self.repair {
            Some(repair) => repair(self.bytes.clone()),
            None => self.bytes.clone(),
        }
    }
}

/// Every parser.
pub fn targets() -> Vec<Target> {
    vec![
        data::archive(),
        data::cifar_binary(),
        data::cifar_pickle(),
        data::idx(),
        data::image(),
        runs::recipe(),
        runs::study(),
        runs::search(),
        weights::pth(),
        weights::safetensors(),
        weights::torchscript(),
        weights::exported(),
        folders::described(),
        folders::index(),
        layers::flax(),
        layers::keras(),
        layers::hdf5(),
        runs::teacher_cache(),
        runs::metrics(),
        runs::summary(),
        runs::state(),
        boxes::coco(),
        boxes::voc(),
    ]
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
