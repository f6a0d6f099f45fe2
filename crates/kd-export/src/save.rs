//! Writing files whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use crate::Error;
use crate::proto::{Entry, Model, TensorProto};

/// Smaller tensors stay in the file: shapes and bounds are read from it before the weights.
const SMALL: usize = 1024;
/// Weights begin at pages of memory, so that they can be mapped.
const PAGE: u64 = 4096;

/// Writes a model. Where its weights take more than `limit` bytes they lie in a second file beside it, with the
/// ending `.data`: a message of Protocol Buffers ends at 2 GiB.
///
/// # Errors
/// [`Error::Write`].
pub(crate) fn save(model: &Model, path: &Path, limit: u64) -> Result<(), Error> {
    let weights = model.graph.iter().flat_map(|graph| &graph.initializer);
    let bytes: u64 = weights.map(|tensor| held(tensor) as u64).sum();
    if bytes <= limit {
        return beside(path, |file| file.write_all(&model.encode_to_vec()));
    }
    let mut model = model.clone();
    let data = data_file(path);
    let location = data.file_name().unwrap_or_default().to_string_lossy();
    beside(&data, |file| {
        let mut offset = 0;
        let weights = model
            .graph
            .iter_mut()
            .flat_map(|graph| &mut graph.initializer);
        for tensor in weights.filter(|tensor| held(tensor) >= SMALL) {
            let bytes = tensor.raw_data.take().unwrap_or_default();
            let start = u64::next_multiple_of(offset, PAGE);
            let gap = start - offset;
            io::copy(&mut io::Read::take(io::repeat(0), gap), file)?;
            file.write_all(&bytes)?;
            offset = start + bytes.len() as u64;
            tensor.data_location = Some(1);
            tensor.external_data = vec![
                Entry::new("location", location.clone()),
                Entry::new("offset", start.to_string()),
                Entry::new("length", bytes.len().to_string()),
            ];
        }
        Ok(())
    })?;
    beside(path, |file| file.write_all(&model.encode_to_vec()))
}

fn held(tensor: &TensorProto) -> usize {
    tensor.raw_data.as_ref().map_or(0, Vec::len)
}

/// Where the weights of a large model are.
fn data_file(path: &Path) -> PathBuf {
    path.with_added_extension("data")
}

/// Writes beside the place and renames.
fn beside(
    path: &Path,
    content: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), Error> {
    let draft = path.with_added_extension("tmp");
    let written = File::create(&draft).and_then(|file| {
        let mut file = BufWriter::new(file);
        content(&mut file)?;
        file.flush()?;
        fs::rename(&draft, path)
    });
    written.map_err(|source| {
        // What is left of it is no file of anybody's.
        let _ = fs::remove_file(&draft);
        Error::Write {
            path: path.to_owned(),
            source,
        }
    })
}
