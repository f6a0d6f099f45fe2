//! What the header of a safetensors file says beyond its tensors, an entry each.
//!
//! An entry that changes what is built, such as the shape of a head, is read here,
//! by the file that knows what to build of it. What a network was trained for is a [`WeightsHeader`].

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use kd_files::Interpolation;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::formats::folder;
use crate::{Error, described, state_dict};

/// What weights were trained for: as the header of a safetensors file says it, or the files beside weights in a
/// folder of the Hugging Face hub or of timm. Files of other programs say little or nothing of it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct WeightsHeader {
    /// Name of the network in the registry.
    pub model: Option<String>,
    /// Name of the network in a folder of another program.
    pub architecture: Option<String>,
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
    /// How images were resized.
    pub interpolation: Option<Interpolation>,
    /// Share of the shorter side of an image that was cut out of its middle, as timm's `crop_pct`: before, the shorter
    /// side became `size / crop` pixels, rounded down.
    pub crop: Option<f64>,
    /// Names of the classes, by label.
    pub class_names: Option<Vec<String>>,
    /// Name of the data set, as a recipe's `data.name`.
    pub data: Option<String>,
    /// SHA-256 of the data.
    pub data_sha256: Option<String>,
}

impl WeightsHeader {
    /// Reads what a file or a folder says of its weights; every entry is none where nothing is said, as in PyTorch's
    /// files. Tensors are not read.
    ///
    /// # Errors
    /// [`Error::Open`] when there is no such file, [`Error::StandIn`] for what lies in its place, [`Error::Folder`] and
    /// [`Error::Foreign`] for a folder without weights, [`Error::Format`] for an entry that is there but wrong, and
    /// [`Error::Described`] for a file beside the weights that is.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let own = Self::of_file(&folder::weights(path)?)?;
        match path.is_dir() {
            true => described::of_folder(path, own),
            false => Ok(own),
        }
    }

    fn of_file(path: &Path) -> Result<Self, Error> {
        state_dict::start(path)?;
        let entries = Entries {
            path,
            all: entries(path).unwrap_or_default(),
        };
        let text = |key: &str| entries.all.get(key).cloned();
        Ok(Self {
            model: text("model"),
            architecture: None,
            classes: entries.get("classes")?,
            channels: entries.get("channels")?,
            size: entries.get("size")?,
            mean: entries.get("mean")?,
            std: entries.get("std")?,
            interpolation: match text("interpolation") {
                Some(name) => Some(Interpolation::named(&name).ok_or_else(|| {
                    let problem = format!("is none of {}", named_interpolations());
                    wrong(path, "interpolation", &problem)
                })?),
                None => None,
            },
            crop: entries.get("crop")?,
            class_names: entries.get("class_names")?,
            data: text("data"),
            data_sha256: text("data_sha256"),
        })
    }

    /// The [`crop`](Self::crop) of images whose shorter side becomes `resize` pixels, of which `size` are cut out.
    pub fn crop_of(size: usize, resize: usize) -> f64 {
        let share = size as f64 / resize as f64;
        match (size as f64 / share).floor() < resize as f64 {
            true => share.next_down(),
            false => share,
        }
    }

    /// This, and what `other` says where this says nothing.
    pub(crate) fn or(self, other: Self) -> Self {
        Self {
            model: self.model.or(other.model),
            architecture: self.architecture.or(other.architecture),
            classes: self.classes.or(other.classes),
            channels: self.channels.or(other.channels),
            size: self.size.or(other.size),
            mean: self.mean.or(other.mean),
            std: self.std.or(other.std),
            interpolation: self.interpolation.or(other.interpolation),
            crop: self.crop.or(other.crop),
            class_names: self.class_names.or(other.class_names),
            data: self.data.or(other.data),
            data_sha256: self.data_sha256.or(other.data_sha256),
        }
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
            (
                "interpolation",
                self.interpolation.map(|i| i.name().to_owned()),
            ),
            ("crop", self.crop.map(|share| share.to_string())),
            ("class_names", json(names.map(|v| serde_json::json!(v)))),
            ("data", self.data.clone()),
            ("data_sha256", self.data_sha256.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect()
    }
}

/// The names of every interpolation.
pub(crate) fn named_interpolations() -> String {
    Interpolation::ALL.map(Interpolation::name).join(", ")
}

/// An entry as the type that it spells in JSON; none in a file without it, or of another format.
///
/// # Errors
/// [`Error::Format`] for an entry that does not spell the type.
pub(crate) fn entry<T: DeserializeOwned>(path: &Path, key: &str) -> Result<Option<T>, Error> {
    let all = entries(path).unwrap_or_default();
    Entries { path, all }.get(key)
}

/// The entries of a file's header.
struct Entries<'a> {
    path: &'a Path,
    all: BTreeMap<String, String>,
}

impl Entries<'_> {
    fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let text = self.all.get(key);
        text.map(|text| spelled(self.path, key, text)).transpose()
    }
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
    if !state_dict::is_safetensors(&start) {
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
