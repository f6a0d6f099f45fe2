//! Files of Keras: `.keras`, `.weights.h5`, and the older `.h5`. They are HDF5, or hold HDF5 in a zip archive.

use std::io::{Cursor, Read};
use std::path::Path;

use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Hdf5File, OpenOptions};
use zip::ZipArchive;

use super::Tensors;
use super::layers::{self, Array, Config, Kind, Layer, Names, Said};

/// What Keras adds to variances where nothing is said of it.
const EPSILON: f64 = 1e-3;

/// Groups of a file are not deeper, and not more.
const DEEPEST: usize = 24;
const MOST: usize = 20_000;

/// The tensors of a file under the names of PyTorch's network, and what its network does otherwise. `bytes` are the
/// whole file `path`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(path: &Path, bytes: Vec<u8>) -> Result<(Tensors, Said), String> {
    let (layers, config) = of_file(bytes)?;
    let names = Names::of(path, &layers)?;
    layers::tensors(&layers, &config, &names, EPSILON)
}

/// The layers of a file, and what it says of them.
fn of_file(bytes: Vec<u8>) -> Result<(Vec<Layer>, Config), String> {
    if !bytes.starts_with(b"PK") {
        return of_hdf5(bytes, None);
    }
    let mut archive = ZipArchive::new(Cursor::new(&bytes)).map_err(|e| e.to_string())?;
    let mut entry = |name: &str| -> Result<Vec<u8>, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("its entry `{name}`: {e}");
        let entry = archive.by_name(name).map_err(|e| wrong(&e))?;
        // Keras does not compress, so that no entry is larger than the file.
        let (size, most) = (entry.size(), bytes.len() as u64);
        if size > most {
            return Err(wrong(&format!("{size} bytes in a file of {most}")));
        }
        let mut content = Vec::new();
        let read = entry.take(most).read_to_end(&mut content);
        read.map_err(|e| wrong(&e))?;
        Ok(content)
    };
    let config = Config::parse(&entry("config.json")?)?;
    of_hdf5(entry("model.weights.h5")?, Some(config))
}

fn of_hdf5(bytes: Vec<u8>, config: Option<Config>) -> Result<(Vec<Layer>, Config), String> {
    let length = bytes.len();
    let options = OpenOptions {
        max_read_bytes: length,
        max_chunk_bytes: length,
        max_object_header_bytes: length,
        ..OpenOptions::default()
    };
    let file = Hdf5File::from_vec_with_options(bytes, options).map_err(|e| e.to_string())?;
    let root = file.root_group().map_err(|e| e.to_string())?;
    let said = root.attribute("model_config").ok();
    let said = said.and_then(|attribute| attribute.read_string().ok());
    let config = match (config, said) {
        (Some(config), _) => config,
        (None, Some(text)) => Config::parse(text.as_bytes())?,
        (None, None) => Config::default(),
    };
    // What an optimiser remembers lies beside it.
    let inner = ["model_weights", "layers", "_layer_checkpoint_dependencies"];
    let start = inner.iter().find_map(|name| root.group(name).ok());
    let mut walk = Walk {
        layers: Vec::new(),
        groups: 0,
        left: length,
    };
    walk.group(start.as_ref().unwrap_or(&root), "", 0)?;
    match walk.layers.is_empty() {
        true => Err("it has no layers with weights".into()),
        false => Ok((walk.layers, config)),
    }
}

struct Walk {
    layers: Vec<Layer>,
    groups: usize,
    /// Bytes that arrays may still have: not more than the file.
    left: usize,
}

impl Walk {
    /// A group, which is a layer if it has arrays; `around` is the name of the group that it lies in.
    fn group(&mut self, group: &Group, around: &str, depth: usize) -> Result<(), String> {
        self.groups += 1;
        if depth > DEEPEST || self.groups > MOST {
            return Err("its groups are too deep or too many".into());
        }
        let (groups, arrays) = group.members().map_err(|e| e.to_string())?;
        let own = group.name();
        if !arrays.is_empty() {
            self.layer(group, around, &arrays)?;
        }
        for inner in groups {
            if inner.name() != "optimizer" {
                self.group(&inner, own, depth + 1)?;
            }
        }
        Ok(())
    }

    fn layer(&mut self, group: &Group, around: &str, arrays: &[Dataset]) -> Result<(), String> {
        // `layers/conv2d/vars` has the name of its layer in an attribute; older files name the group so.
        let by_place = group.name() == "vars";
        let called = group.attribute("name").ok();
        let called = called.and_then(|attribute| attribute.read_string().ok());
        let name = match (by_place, called) {
            (true, Some(called)) => called,
            (true, None) => around.to_owned(),
            (false, _) => group.name().to_owned(),
        };
        let kind = match class(around) {
            "batch_normalization" if by_place => Kind::BatchNormalization,
            "depthwise_conv2d" if by_place => Kind::Depthwise,
            _ => Kind::Other,
        };
        let mut found = Vec::new();
        for array in arrays {
            let place = array.name().split(':').next().unwrap_or_default();
            found.push((place.to_owned(), self.array(&name, array)?));
        }
        // `10` stands after `9`.
        found.sort_by_key(|(place, _)| place.parse::<usize>().unwrap_or_default());
        self.layers.push(Layer {
            name,
            kind,
            arrays: found,
        });
        Ok(())
    }

    fn array(&mut self, layer: &str, array: &Dataset) -> Result<Array, String> {
        let wrong = |problem: String| format!("`{layer}/{}`: {problem}", array.name());
        let extents = array.shape().iter();
        let shape = extents.map(|&extent| usize::try_from(extent).ok());
        let shape: Option<Vec<usize>> = shape.collect();
        let count = shape
            .as_ref()
            .and_then(|shape| shape.iter().try_fold(1_usize, |n, &d| n.checked_mul(d)));
        let bytes = count.and_then(|count| count.checked_mul(4));
        let (Some(shape), Some(count), Some(left)) = (
            shape,
            count,
            bytes.and_then(|bytes| self.left.checked_sub(bytes)),
        ) else {
            return Err(wrong(format!(
                "its shape {:?} is more than the file holds",
                array.shape()
            )));
        };
        self.left = left;
        let mut values = vec![0_f32; count];
        let read = array.read_into::<f32>(&mut values);
        read.map_err(|e| wrong(e.to_string()))?;
        Ok(Array { shape, values })
    }
}

/// The class of a group such as `batch_normalization_3`.
fn class(group: &str) -> &str {
    match group.rsplit_once('_') {
        Some((class, number)) if number.parse::<usize>().is_ok() => class,
        _ => group,
    }
}
