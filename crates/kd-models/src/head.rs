//! The head of a network in its file: an entry of the header says its shape, tensors hold its numbers.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::tensor::Device;
use kd_core::{Head, HeadConfig};

use crate::Error;
use crate::header;

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
    let wrong = |problem: String| header::wrong(path, ENTRY, &problem);
    let Some(config) = header::entry::<HeadConfig>(path, ENTRY)? else {
        return Ok(None);
    };
    // Nothing is made room for that is not there.
    let shape = |name: &str| -> Option<Vec<usize>> {
        let tensor = stored.get(name)?;
        Some(tensor.shape.iter().copied().collect())
    };
    let [narrow, inner, wide] = config.channels;
    let first = shape("head.projector.layers.0.conv.weight");
    let last = shape("head.classifier.weight");
    if first != Some(vec![inner, narrow, 1, 1]) || last != Some(vec![config.classes, wide]) {
        return Err(wrong(format!(
            "is {}, which its tensors are not",
            serde_json::json!(config)
        )));
    }
    let head = config.init(device).map_err(|e| wrong(e.to_string()))?;
    Ok(Some(head))
}
