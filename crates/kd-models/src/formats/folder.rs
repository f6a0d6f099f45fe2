//! The file of weights in a folder, as the Hugging Face hub and timm lay it out.

use std::path::{Path, PathBuf};

use super::foreign;
use crate::Error;

/// Files of weights in the order in which they are looked for.
const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The file of weights that a path means: that of a folder, or itself.
///
/// # Errors
/// [`Error::Open`] for a folder that cannot be read, [`Error::Foreign`] for one of another program,
/// [`Error::Folder`] for one without weights.
pub(crate) fn weights(path: &Path) -> Result<PathBuf, Error> {
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = WEIGHTS.iter().map(|name| path.join(name));
    if let Some(found) = found.into_iter().find(|file| file.is_file()) {
        return Ok(found);
    }
    let open = |source| Error::Open {
        path: path.to_owned(),
        source,
    };
    let entries = std::fs::read_dir(path).map_err(open)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort();
    if let Some(found) = foreign::of_folder(&names) {
        return Err(Error::Foreign {
            path: path.to_owned(),
            found,
        });
    }
    Err(Error::Folder {
        path: path.to_owned(),
        looked: WEIGHTS.join(", "),
    })
}
