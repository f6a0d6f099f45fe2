//! What the header of a safetensors file says beyond its tensors, an entry each.
//!
//! An entry that changes what is built, such as the shape of a head, is read here,
//! by the file that knows what to build of it. What a network was trained for is a [`WeightsHeader`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::Error;
use crate::state_dict::is_safetensors;

/// What weights were trained for, as the header of a safetensors file says it. Files of other programs say
/// little or nothing of it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WeightsHeader {
    /// Name of the network in the registry.
    pub model: Option<String>,
    /// Number of classes.
    pub classes: Option<usize>,
    /// Channels of an image.
    pub channels: Option<usize>,
    /// Height and width of an image in pixels.
    pub size: Option<usize>,
    /// Mean of each channel that images were normalised with, in units of 255.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, likewise.
    pub std: Option<Vec<f32>>,
    /// Names of the classes, by label.
    pub class_names: Option<Vec<String>>,
    /// Name of the data set, as a recipe's `data.name`.
    pub data: Option<String>,
    /// SHA-256 of the data.
    pub data_sha256: Option<String>,
}

impl WeightsHeader {
    /// Reads the header of a file of weights; every entry is none where there is no header, as in PyTorch's
    /// files. Tensors are not read.
    ///
    /// # Errors
    /// [`Error::Open`] when there is no such file, [`Error::Format`] for an entry that is there but wrong.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        File::open(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
        let entries = entries(path).unwrap_or_default();
        let text = |key: &str| entries.get(key).cloned();
        let number = |key: &str| entries.get(key).map(|text| spelled(path, key, text));
        let numbers = |key: &str| entries.get(key).map(|text| spelled(path, key, text));
        Ok(Self {
            model: text("model"),
            classes: number("classes").transpose()?,
            channels: number("channels").transpose()?,
            size: number("size").transpose()?,
            mean: numbers("mean").transpose()?,
            std: numbers("std").transpose()?,
            class_names: entries
                .get("class_names")
                .map(|text| spelled(path, "class_names", text))
                .transpose()?,
            data: text("data"),
            data_sha256: text("data_sha256"),
        })
    }

    /// The entries that are there, as [`Network::save`](crate::Network::save) takes them.
    pub fn entries(&self) -> Vec<(String, String)> {
        let number = |value: &Option<usize>| value.map(|value| value.to_string());
        let json = |value: Option<Value>| value.map(|value| value.to_string());
        let list = |values: &Option<Vec<f32>>| json(values.as_ref().map(|v| serde_json::json!(v)));
        let names = self.class_names.as_ref();
        [
            ("model", self.model.clone()),
            ("classes", number(&self.classes)),
            ("channels", number(&self.channels)),
            ("size", number(&self.size)),
            ("mean", list(&self.mean)),
            ("std", list(&self.std)),
            ("class_names", json(names.map(|v| serde_json::json!(v)))),
            ("data", self.data.clone()),
            ("data_sha256", self.data_sha256.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

/// An entry as the type that it spells in JSON; none in a file without it, or of another format.
///
/// # Errors
/// [`Error::Format`] for an entry that does not spell the type.
pub(crate) fn entry<T: DeserializeOwned>(path: &Path, key: &str) -> Result<Option<T>, Error> {
    let entries = entries(path).unwrap_or_default();
    entries
        .get(key)
        .map(|text| spelled(path, key, text))
        .transpose()
}

fn spelled<T: DeserializeOwned>(path: &Path, key: &str, text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|e| wrong(path, key, &format!("cannot be read ({e})")))
}

/// The error of an entry that is there but wrong.
pub(crate) fn wrong(path: &Path, key: &str, problem: &str) -> Error {
    Error::Format {
        path: path.to_owned(),
        problem: format!("its header's `{key}` {problem}"),
    }
}

/// All entries; none for files of another format, which have no header.
fn entries(path: &Path) -> Option<BTreeMap<String, String>> {
    let mut file = File::open(path).ok()?;
    let size = file.metadata().ok()?.len();
    let mut start = [0; 9];
    file.read_exact(&mut start).ok()?;
    if !is_safetensors(&start) {
        return None;
    }
    let length = u64::from_le_bytes(*start.first_chunk()?);
    let rest = length.checked_sub(1).filter(|_| length <= size)?;
    let mut header = vec![start[8]];
    file.take(rest).read_to_end(&mut header).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    let entries = header.get("__metadata__")?.as_object()?.iter();
    let entries = entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.into())));
    Some(entries.collect())
}
