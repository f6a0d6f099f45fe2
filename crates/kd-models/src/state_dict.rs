//! The state dict of a file, whatever its format; values are read later.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::store::pytorch_reader::PytorchReader;
use burn::store::{ModuleStore, SafetensorsStore, bridge};

use crate::Error;

/// PyTorch counts batches per normalisation layer and models per averaged model; nothing here reads the counts.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "n_averaged"];

/// Every tensor of a file by its name there. The content says the format: a name that ends in `.pth` says
/// nothing.
///
/// # Errors
/// [`Error::Open`], [`Error::StandIn`], [`Error::Format`].
pub(crate) fn read(path: &Path) -> Result<BTreeMap<String, Stored>, Error> {
    let start = start(path)?;
    if let Some(found) = kd_files::stand_in(&start) {
        return Err(Error::StandIn {
            path: path.to_owned(),
            found,
        });
    }
    let format = |problem: String| Error::Format {
        path: path.to_owned(),
        problem,
    };
    let mut tensors: BTreeMap<String, Stored> = if is_safetensors(&start) {
        SafetensorsStore::from_file(path)
            .get_all_tensors()
            .map_err(|e| format(e.to_string()))?
            .clone()
    } else {
        PytorchReader::new(path)
            .map_err(|e| format(format!("{} ({e})", not_torch(&start))))?
            .into_tensors()
            .into_iter()
            .map(|(name, tensor)| (name, bridge::from_pytorch(tensor)))
            .collect()
    };
    tensors.retain(|key, _| {
        let last = key.rsplit('.').next().unwrap_or(key);
        !COUNTERS.contains(&last)
    });
    if tensors.is_empty() {
        return Err(format("it holds no tensors".into()));
    }
    Ok(tensors)
}

/// The first bytes of a file.
fn start(path: &Path) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(kd_files::START as u64).read_to_end(&mut start))
        .map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
    Ok(start)
}

/// A length in eight bytes, and then the brace of the header. No PyTorch file starts so: the length's upper
/// bytes are 0, and a pickle has opcodes there.
pub(crate) fn is_safetensors(start: &[u8]) -> bool {
    start.get(8) == Some(&b'{') && start[4..8] == [0; 4]
}

/// What is to be said of a file that PyTorch's formats do not explain.
fn not_torch(start: &[u8]) -> &'static str {
    let torch = start.starts_with(b"PK") || start.starts_with(&[0x80]);
    if torch || start.get(257..262) == Some(b"ustar") {
        "it begins like a file of PyTorch and cannot be read as one"
    } else {
        "it is neither safetensors nor a file of PyTorch (.pth, .pt, .th)"
    }
}
