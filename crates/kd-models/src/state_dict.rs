//! The state dict of a file, whatever its format; values are read later.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use burn::store::pytorch_reader::{PickleError, PytorchError, PytorchReader};
use burn::store::{ModuleStore, SafetensorsStore, bridge};

use crate::Error;
use crate::formats::archive::{Archive, Kind};
use crate::formats::foreign::Foreign;
use crate::formats::layers::Said;
use crate::formats::shards::Shards;
use crate::formats::{Tensors, flax, folder, foreign, legacy, transformers};

/// PyTorch counts batches per normalisation layer and models per averaged model; nothing here reads the counts.
const COUNTERS: [&str; 2] = ["num_batches_tracked", "n_averaged"];

/// Every tensor of a file or folder by its name there, and what goes with them. The content says the format: a name
/// that ends in `.pth` says nothing.
///
/// # Errors
/// [`Error::Open`], [`Error::StandIn`], [`Error::Folder`], [`Error::Foreign`], [`Error::Object`],
/// [`Error::Format`], [`Error::Converted`].
pub(crate) fn read(path: &Path) -> Result<(Tensors, Said), Error> {
    let path = &folder::weights(path)?;
    if let Some(found) = of_another_program(path)? {
        return Ok(found);
    }
    let mut tensors = match Shards::of(path)? {
        Some(shards) => shards.read(read_file)?,
        None => read_file(path)?,
    };
    tensors.retain(|key, _| {
        let last = key.rsplit('.').next().unwrap_or(key);
        !COUNTERS.contains(&last)
    });
    if tensors.is_empty() {
        return Err(wrong(path, "it holds no tensors".into()));
    }
    Ok((transformers::renamed(tensors), Said::default()))
}

/// Makes tensors of the whole content of a file, or says what is wrong with it.
type Reader = fn(&Path, Vec<u8>) -> Result<(Tensors, Said), String>;

/// What a program wrote whose arrays are laid out in another way; none for any other file.
fn of_another_program(path: &Path) -> Result<Option<(Tensors, Said)>, Error> {
    let start = start(path)?;
    let archive = || Some(Archive::open(path).ok()?.kind());
    let found = match foreign::of_file(path, &start) {
        None if start.starts_with(b"PK") => match archive() {
            Some(Kind::Other(found)) => Some(found),
            _ => None,
        },
        found => found,
    };
    let read: Reader = match found {
        _ if is_safetensors(&start) => return Ok(None),
        Some(Foreign::Flax) => |path, bytes| flax::read(path, &bytes),
        #[cfg(feature = "keras")]
        Some(Foreign::Keras) => crate::formats::keras::read,
        _ => return Ok(None),
    };
    let bytes = std::fs::read(path).map_err(|source| Error::Open {
        path: path.to_owned(),
        source,
    })?;
    let found = read(path, bytes).map_err(|problem| Error::Converted {
        path: path.to_owned(),
        program: match found {
            Some(Foreign::Flax) => "Flax",
            _ => "Keras",
        },
        problem,
    });
    found.map(Some)
}

fn read_file(path: &Path) -> Result<Tensors, Error> {
    let start = start(path)?;
    if is_safetensors(&start) {
        let tensors = SafetensorsStore::from_file(path).get_all_tensors().cloned();
        return tensors.map_err(|e| wrong(path, e.to_string()));
    }
    if let Some(found) = foreign::of_file(path, &start) {
        return Err(Error::Foreign {
            path: path.to_owned(),
            found,
        });
    }
    if start.starts_with(b"PK") {
        return read_archive(path, &start);
    }
    match read_pickle(path, &start) {
        // Objects of classes are not understood there.
        Err(error) if legacy::is_legacy(&start) => match legacy::tensors(path) {
            Ok(tensors) if !tensors.is_empty() => Ok(tensors),
            _ => Err(error),
        },
        result => result,
    }
}

/// A zip archive: what PyTorch writes since its version 1.6.
fn read_archive(path: &Path, start: &[u8]) -> Result<Tensors, Error> {
    let failed = |problem| wrong(path, problem);
    let Ok(mut archive) = Archive::open(path) else {
        return read_pickle(path, start);
    };
    match archive.kind() {
        Kind::Other(found) => Err(Error::Foreign {
            path: path.to_owned(),
            found,
        }),
        Kind::Script | Kind::Exported => archive.tensors().map_err(failed),
        Kind::Pickled => match read_pickle(path, start) {
            // An object of a program's own class, which may hold a network.
            Err(Error::Object { path, class }) => match archive.tensors() {
                Ok(tensors) if !tensors.is_empty() => Ok(tensors),
                _ => Err(Error::Object { path, class }),
            },
            result => result,
        },
    }
}

/// What `torch.save` writes, in any format that it has had.
fn read_pickle(path: &Path, start: &[u8]) -> Result<Tensors, Error> {
    let reader = PytorchReader::new(path).map_err(|error| match error {
        PytorchError::Pickle(PickleError::UnsupportedType(class)) => Error::Object {
            path: path.to_owned(),
            class,
        },
        error => wrong(path, format!("{} ({error})", not_torch(start))),
    })?;
    let tensors = reader.into_tensors().into_iter();
    let tensors = tensors.map(|(name, tensor)| (name, bridge::from_pytorch(tensor)));
    Ok(tensors.collect())
}

fn wrong(path: &Path, problem: String) -> Error {
    Error::Format {
        path: path.to_owned(),
        problem,
    }
}

/// The first bytes of a file.
///
/// # Errors
/// [`Error::Open`]; [`Error::StandIn`] when they are not of the file but of what lies in its place.
pub(crate) fn start(path: &Path) -> Result<Vec<u8>, Error> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(kd_files::START as u64).read_to_end(&mut start))
        .map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })?;
    match kd_files::stand_in(&start) {
        Some(found) => Err(Error::StandIn {
            path: path.to_owned(),
            found,
        }),
        None => Ok(start),
    }
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
