//! Weights in and out, by the reference's PyTorch names.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::store::burn_pack::Tensor as Stored;
use burn::store::pytorch_reader::PytorchReader;
use burn::store::{
    BurnToPyTorchAdapter, FloatCastAdapter, ModuleAdapter, ModuleContext, ModuleSnapshot,
    ModuleStore, PyTorchToBurnAdapter, SafetensorsStore, bridge,
};
use burn::tensor::Device;

use crate::Error;
use crate::config::NetworkConfig;
use crate::head;
use crate::hint;
use crate::mismatch::{Mismatch, Shapes};
use crate::network::Network;

/// Keys under which training scripts put a state dict.
const WRAPPERS: [&str; 3] = ["state_dict.", "model.", "net."];
/// What `DataParallel` puts before every key.
const PARALLEL: &str = "module.";
/// PyTorch counts batches per normalisation layer; nothing here reads the count.
const COUNTER: &str = "num_batches_tracked";

impl Network {
    /// Builds a network and fills it from a file; nothing is drawn. See [`Network::load`].
    ///
    /// # Errors
    /// As [`Network::new`] and [`Network::load`].
    pub fn from_file(
        config: &NetworkConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        // An entry of the header that changes the network itself, such as the widths of a pruned one, is
        // to be read before this line; one that adds to it, as a head does, while it is filled.
        Self::lazy(config, device)?.fill(path.as_ref())
    }

    /// Replaces every parameter and running statistic by those of a file.
    ///
    /// Files: `.safetensors`, and PyTorch's `.pth`, `.pt` and `.th` in any format it has written
    /// (a pickle is parsed, never executed). The state dict may lie at the top or under
    /// `state_dict`, `model` or `net`; a prefix `module.` is dropped, `num_batches_tracked`
    /// ignored. Otherwise every key must be used and none be missing. A head that the file names is taken, with
    /// its own keys; without one the network has its own classifier. Values are converted
    /// to the device's float type. Clones of this network keep what they have.
    ///
    /// # Errors
    /// [`Error::Extension`], [`Error::Open`], [`Error::Format`], [`Error::Mismatch`], [`Error::Head`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        // A validation copy has running statistics of its own; clones share theirs.
        let trains = self.device().is_some_and(|device| device.is_autodiff());
        let own = self.valid();
        let own = if trains { own.train() } else { own };
        own.fill(path.as_ref())
    }

    fn fill(mut self, path: &Path) -> Result<Self, Error> {
        let mut stored = read(path)?;
        self.head = head::of_file(path, &stored, &self.device().unwrap_or_default())?;
        let shapes: Shapes = stored
            .iter()
            .map(|(name, tensor)| (name.clone(), tensor.shape.iter().copied().collect()))
            .collect();
        let keys = self.keys();
        let model = &self.config.model;
        if let Some(mut mismatch) = Mismatch::between(path.to_owned(), model, &keys, &shapes) {
            mismatch.hint = hint::of(&self, &keys, &shapes);
            return Err(Box::new(mismatch).into());
        }

        let tensors = keys
            .iter()
            .filter_map(|key| {
                let mut tensor = stored.remove(&key.name)?;
                tensor.name.clone_from(&key.path);
                Some(tensor)
            })
            .collect();
        let float = self.device().unwrap_or_default().settings().float_dtype;
        let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(float.into()));
        let result = self.apply(tensors, None, Some(Box::new(adapter)), true);
        // Names and shapes fit by now: what is left are values that could not be read.
        let problems: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
        if !problems.is_empty() || !result.missing.is_empty() {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: problems.join("; "),
            });
        }
        if let Some(head) = &self.head {
            self.check_head(head)?;
        }
        Ok(self)
    }

    /// Writes the state dict as safetensors with the reference's names and shapes, so that
    /// PyTorch loads it as it is, under a temporary name first. `metadata` goes into the header.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>, metadata: &[(String, String)]) -> Result<(), Error> {
        let path = path.as_ref();
        // The validation copy holds the running statistics including the latest batch.
        let network = self.valid();
        let names = self.keys().into_iter().map(|key| (key.path, key.name));
        let names = names.collect();
        let mut store = SafetensorsStore::from_file(path)
            .overwrite(true)
            .skip_enum_variants(true)
            .with_to_adapter(Rename(names).chain(BurnToPyTorchAdapter));
        for (key, value) in self.header() {
            store = store.metadata(key, value);
        }
        for (key, value) in metadata {
            store = store.metadata(key, value);
        }
        let failed = |problem: String| Error::Save {
            path: path.to_owned(),
            problem,
        };
        network
            .save_into(&mut store)
            .map_err(|e| failed(e.to_string()))?;
        publish(path).map_err(|e| failed(e.to_string()))
    }
}

impl Network {
    /// Entries of the header of every file that [`Network::save`] writes.
    pub(crate) fn header(&self) -> BTreeMap<String, String> {
        let mut entries: BTreeMap<String, String> =
            SafetensorsStore::default_metadata().into_iter().collect();
        // Readers of the PyTorch world look for this mark.
        entries.insert("format".into(), "pt".into());
        if let Some(head) = &self.head {
            entries.insert(head::ENTRY.into(), head::spelled(head));
        }
        entries
    }
}

/// Lets everybody read a file that was written under a temporary, and so private, name.
#[cfg(unix)]
fn publish(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn publish(_: &Path) -> std::io::Result<()> {
    Ok(())
}

/// Gives tensors the reference's names, by their paths in the module.
#[derive(Clone, Debug)]
struct Rename(BTreeMap<String, String>);

impl ModuleAdapter for Rename {
    fn adapt(&self, mut tensor: Stored, _context: ModuleContext<'_>) -> Stored {
        if let Some(name) = self.0.get(&tensor.name) {
            tensor.name.clone_from(name);
        }
        tensor
    }

    fn clone_box(&self) -> Box<dyn ModuleAdapter> {
        Box::new(self.clone())
    }
}

/// The state dict of a file; values are read later.
fn read(path: &Path) -> Result<BTreeMap<String, Stored>, Error> {
    let extension = path
        .extension()
        .map(|extension| extension.to_string_lossy().to_lowercase());
    let format = |problem: String| Error::Format {
        path: path.to_owned(),
        problem,
    };
    let open = || {
        std::fs::File::open(path).map_err(|source| Error::Open {
            path: path.to_owned(),
            source,
        })
    };
    let tensors: BTreeMap<String, Stored> = match extension.as_deref() {
        Some("safetensors") => {
            open()?;
            SafetensorsStore::from_file(path)
                .get_all_tensors()
                .map_err(|e| format(e.to_string()))?
                .clone()
        }
        Some("pth" | "pt" | "th") => {
            open()?;
            PytorchReader::new(path)
                .map_err(|e| format(e.to_string()))?
                .into_tensors()
                .into_iter()
                .map(|(name, tensor)| (name, bridge::from_pytorch(tensor)))
                .collect()
        }
        _ => {
            return Err(Error::Extension {
                path: path.to_owned(),
            });
        }
    };
    let tensors = unwrap(tensors);
    if tensors.is_empty() {
        return Err(format("it holds no tensors".into()));
    }
    Ok(tensors)
}

/// The state dict within a checkpoint.
fn unwrap(mut tensors: BTreeMap<String, Stored>) -> BTreeMap<String, Stored> {
    if let Some(wrapper) = WRAPPERS
        .iter()
        .find(|wrapper| tensors.keys().any(|key| key.starts_with(**wrapper)))
    {
        tensors = stripped(tensors, wrapper);
    }
    if tensors.keys().all(|key| key.starts_with(PARALLEL)) {
        tensors = stripped(tensors, PARALLEL);
    }
    tensors.retain(|key, _| !key.ends_with(COUNTER));
    tensors
}

/// Keys that start with `prefix`, without it.
fn stripped(tensors: BTreeMap<String, Stored>, prefix: &str) -> BTreeMap<String, Stored> {
    tensors
        .into_iter()
        .filter_map(|(key, tensor)| Some((key.strip_prefix(prefix)?.to_owned(), tensor)))
        .collect()
}
