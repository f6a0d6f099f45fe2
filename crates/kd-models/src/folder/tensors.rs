//! The weights of a folder, under the names of the program that loads them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::store::{BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleSnapshot};
use burn::tensor::DType;
use safetensors::tensor::{Dtype, TensorView};

use super::Export;
use crate::fit::EPSILON;
use crate::keys::Key;
use crate::saved::Rename;
use crate::spelling::Spelling;

/// A tensor as it is written.
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Export<'_> {
    /// Writes the tensors, with what the weights say of themselves in the header.
    pub(super) fn write_tensors(&self, path: &Path) -> std::io::Result<()> {
        let (own, spelling) = (self.network.keys(), self.spelling());
        let mut entries = entries(self.network, &own, &spelling)?;
        if self.elsewhere.is_some() {
            let counters: Vec<String> = entries
                .keys()
                .filter_map(|name| name.strip_suffix("running_var"))
                .map(|layer| format!("{layer}num_batches_tracked"))
                .collect();
            entries.extend(counters.into_iter().map(|name| (name, counter())));
        }
        write(&entries, self.said(), path)
    }

    /// The entries of the header.
    fn said(&self) -> HashMap<String, String> {
        let mut said: HashMap<String, String> = self.network.header().into_iter().collect();
        said.extend(self.header.entries());
        // The names alone would say another one.
        let arguments = self.elsewhere.as_ref().map(|network| &network.arguments);
        let told = ["layer_norm_eps", "bn_eps"].into_iter();
        let told = told.filter_map(|key| arguments?.get(key)?.as_f64());
        said.extend(told.map(|epsilon| (EPSILON.to_owned(), epsilon.to_string())));
        said
    }
}

/// Writes a module under the names of a program, `said` in the header, under a temporary name first.
pub(crate) fn write_spelled(
    module: &impl ModuleSnapshot,
    own: &[Key],
    spelling: &Spelling,
    said: HashMap<String, String>,
    path: &Path,
) -> std::io::Result<()> {
    let unfinished = path.with_extension("unfinished");
    write(&entries(module, own, spelling)?, said, &unfinished)?;
    std::fs::rename(unfinished, path)
}

fn write(
    entries: &BTreeMap<String, Entry>,
    said: HashMap<String, String>,
    path: &Path,
) -> std::io::Result<()> {
    let views = entries.iter().map(|(name, entry)| {
        let view = TensorView::new(entry.dtype, entry.shape.clone(), &entry.bytes);
        view.map(|view| (name, view))
    });
    let views = views.collect::<Result<Vec<_>, _>>();
    let views = views.map_err(std::io::Error::other)?;
    safetensors::serialize_to_file(views, Some(said), path).map_err(std::io::Error::other)
}

/// Tensors of the keys `own` under the names of a program, in its pieces.
fn entries(
    module: &impl ModuleSnapshot,
    own: &[Key],
    spelling: &Spelling,
) -> std::io::Result<BTreeMap<String, Entry>> {
    // The validation copy holds the running statistics including the latest batch.
    let module = module.valid();
    let names = own.iter().map(|key| (key.path.clone(), key.name.clone()));
    let adapter = Rename(names.collect())
        .chain(BurnToPyTorchAdapter)
        .chain(FloatCastAdapter::to(DType::F32));
    let stored = module.collect(None, Some(Box::new(adapter)), true);
    let mut entries = BTreeMap::new();
    for tensor in stored {
        let bytes = tensor.to_bytes().map_err(std::io::Error::other)?;
        let Some(key) = own.iter().find(|key| key.name == tensor.name) else {
            continue;
        };
        let pieces = spelling.pieces(key);
        let length = bytes.len() / pieces.len();
        for (piece, bytes) in pieces.into_iter().zip(bytes.chunks(length.max(1))) {
            let entry = Entry {
                dtype: Dtype::F32,
                shape: piece.shape,
                bytes: bytes.to_vec(),
            };
            entries.insert(piece.name, entry);
        }
    }
    Ok(entries)
}

/// PyTorch's count of batches, which a strict loader misses. Nothing reads it where a momentum is given.
fn counter() -> Entry {
    Entry {
        dtype: Dtype::I64,
        shape: Vec::new(),
        bytes: 0_i64.to_le_bytes().to_vec(),
    }
}
