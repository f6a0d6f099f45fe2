//! Zip archives: what they hold, and their entries.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use kd_files::pickle;
use zip::ZipArchive;
use zip::read::{ArchiveOffset, Config};

use super::foreign::Foreign;
use super::objects::{self, Storages};
use super::{Tensors, exported};

/// What an archive holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pickled object of PyTorch, most often a state dict.
    Pickled,
    /// A module that PyTorch compiled (TorchScript).
    Script,
    /// A program that PyTorch exported (`.pt2`).
    Exported,
    /// Something else.
    Other(Foreign),
}

/// An open archive, all of whose entries lie in one folder.
pub(crate) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    names: Vec<String>,
    root: String,
}

/// An entry with the pickle or the description of tensors is not longer.
const LONGEST_TEXT: u64 = 100 << 20;

impl Archive {
    /// # Errors
    /// When it is no zip archive.
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        // PyTorch puts nothing before the archive, and an archive of its inputs into one of an exported program.
        let archive_offset = ArchiveOffset::Known(0);
        let zip = ZipArchive::with_config(Config { archive_offset }, BufReader::new(file));
        let zip = zip.map_err(|e| e.to_string())?;
        let names: Vec<String> = zip
            .file_names()
            .filter_map(|name| Some(name.ok()?.into_owned()))
            .collect();
        let root = names.iter().find_map(|name| {
            let known = ["data.pkl", "archive_format", "constants.pkl"];
            let root = known.iter().find_map(|end| name.strip_suffix(end))?;
            (root.is_empty() || root.ends_with('/')).then(|| root.to_owned())
        });
        let root = root.unwrap_or_default();
        Ok(Self { zip, names, root })
    }

    pub(crate) fn kind(&self) -> Kind {
        let has = |name: &str| {
            self.names
                .iter()
                .any(|n| *n == format!("{}{name}", self.root))
        };
        let any = |end: &str| self.names.iter().any(|name| name.ends_with(end));
        if has("archive_format") {
            Kind::Exported
        } else if has("constants.pkl") && has("data.pkl") {
            Kind::Script
        } else if has("data.pkl") {
            Kind::Pickled
        } else if any("serialized_exported_program.json") {
            Kind::Other(Foreign::OldExported)
        } else if any("model.weights.h5") || any("keras_metadata.pb") {
            Kind::Other(Foreign::Keras)
        } else if any(".npy") {
            Kind::Other(Foreign::NumPy)
        } else {
            // The reader of pickles says what it misses.
            Kind::Pickled
        }
    }

    /// The tensors of an archive whose kind says that they are read here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn tensors(&mut self) -> Result<Tensors, String> {
        self.check_byte_order()?;
        match self.kind() {
            Kind::Exported => exported::tensors(self),
            _ => {
                let bytes = self.text("data.pkl")?;
                objects::tensors(&pickle::parse(&bytes)?, self)
            }
        }
    }

    fn check_byte_order(&mut self) -> Result<(), String> {
        // Older archives do not say it, and were written on the machines that all have.
        match self.text("byteorder") {
            Ok(order) if order != b"little" => Err(format!(
                "its numbers are stored with the byte order `{}`, and `little` is read",
                String::from_utf8_lossy(&order[..order.len().min(16)])
            )),
            _ => Ok(()),
        }
    }

    /// An entry that describes tensors.
    pub(super) fn text(&mut self, name: &str) -> Result<Vec<u8>, String> {
        self.read(name, LONGEST_TEXT)
    }

    /// An entry with the content of tensors.
    pub(super) fn content(&mut self, name: &str) -> Result<Arc<Vec<u8>>, String> {
        self.read(name, u64::MAX).map(Arc::new)
    }

    fn read(&mut self, name: &str, longest: u64) -> Result<Vec<u8>, String> {
        let full = format!("{}{name}", self.root);
        let wrong = |problem: &dyn std::fmt::Display| format!("its entry `{full}`: {problem}");
        let entry = self.zip.by_name(&full).map_err(|e| wrong(&e))?;
        let size = entry.size();
        if size > longest {
            return Err(wrong(&format!("{size} bytes, and {longest} are the most")));
        }
        let mut content = Vec::new();
        // What an entry says of its size may be wrong.
        let read = entry.take(size.saturating_add(1)).read_to_end(&mut content);
        match read {
            Ok(read) if read as u64 == size => Ok(content),
            Ok(read) => Err(wrong(&format!("{read} bytes instead of {size}"))),
            Err(error) => Err(wrong(&error)),
        }
    }
}

impl Storages for Archive {
    fn storage(&mut self, key: &str) -> Result<Arc<Vec<u8>>, String> {
        self.content(&format!("data/{key}"))
    }
}
