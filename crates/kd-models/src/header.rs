//! What the header of a safetensors file says beyond its tensors, an entry each.
//!
//! An entry that changes what is built, such as the shape of a head, is read here,
//! by the file that knows what to build of it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;

/// An entry as the type that it spells in JSON; none in a file without it, or of another format.
///
/// # Errors
/// [`Error::Format`] for an entry that does not spell the type.
pub(crate) fn entry<T: DeserializeOwned>(path: &Path, key: &str) -> Result<Option<T>, Error> {
    let Some(text) = text(path, key) else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|e| wrong(path, key, &format!("cannot be read ({e})")))
}

/// The error of an entry that is there but wrong.
pub(crate) fn wrong(path: &Path, key: &str, problem: &str) -> Error {
    Error::Format {
        path: path.to_owned(),
        problem: format!("its header's `{key}` {problem}"),
    }
}

/// The text of an entry; none for files of another format, which have no header.
fn text(path: &Path, key: &str) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).ok()?;
    let length = u64::from_le_bytes(length);
    if length > size {
        return None;
    }
    let mut header = Vec::new();
    file.take(length).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let entry = header.get("__metadata__")?.get(key)?;
    entry.as_str().map(String::from)
}
