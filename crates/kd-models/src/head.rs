//! The head of a network in its file: an entry of the header says its shape, tensors hold its numbers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::Device;
use kd_core::{Head, HeadConfig};
use serde_json::Value;

use crate::Error;

/// The header's entry.
pub(crate) const ENTRY: &str = "head";

/// The entry's value.
pub(crate) fn spelled(head: &Head) -> String {
    serde_json::json!(head.config()).to_string()
}

/// The head that a file names, its numbers still 0; none where it names none.
pub(crate) fn of_file(
    path: &Path,
    stored: &BTreeMap<String, Stored>,
    device: &Device,
) -> Result<Option<Head>, Error> {
    let wrong = |problem: String| Error::Format {
        path: path.to_owned(),
        problem: format!("its header's `{ENTRY}` {problem}"),
    };
    let Some(text) = entry(path) else {
        return Ok(None);
    };
    let config: HeadConfig =
        serde_json::from_str(&text).map_err(|e| wrong(format!("cannot be read ({e})")))?;
    // Nothing is made room for that is not there.
    let shape = |name: &str| -> Option<Vec<usize>> {
        let tensor = stored.get(name)?;
        Some(tensor.shape.iter().copied().collect())
    };
    let [narrow, inner, wide] = config.channels;
    let first = shape("head.projector.layers.0.conv.weight");
    let last = shape("head.classifier.weight");
    if first != Some(vec![inner, narrow, 1, 1]) || last != Some(vec![config.classes, wide]) {
        return Err(wrong(format!("is {text}, which its tensors are not")));
    }
    let head = config.init(device).map_err(|e| wrong(e.to_string()))?;
    Ok(Some(head))
}

/// The entry of a safetensors file's header; none for files of another kind, which have no header.
fn entry(path: &Path) -> Option<String> {
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
    let entry = header.get("__metadata__")?.get(ENTRY)?;
    entry.as_str().map(String::from)
}
