//! Weights out, by the reference's PyTorch names.

use std::collections::BTreeMap;
use std::path::Path;

use burn::store::burn_pack::Tensor as Stored;
use burn::store::{
    BurnToPyTorchAdapter, ModuleAdapter, ModuleContext, ModuleSnapshot, SafetensorsStore,
};

use crate::fit::{EPSILON, ORIGIN, VARIANT};
use crate::keys::Key;
use crate::network::Network;
use crate::variant::Variant;
use crate::{Error, Origin, grids, head};

impl Network {
    /// Writes the state dict as safetensors with the reference's names and shapes, so that
    /// PyTorch loads it as it is, under a temporary name first. `metadata` goes into the header.
    ///
    /// # Errors
    /// [`Error::Save`].
    pub fn save(&self, path: impl AsRef<Path>, metadata: &[(String, String)]) -> Result<(), Error> {
        let entries = self.header().into_iter().chain(metadata.iter().cloned());
        write(self, path.as_ref(), self.keys(), entries)
    }

    /// Entries of the header of every file that [`Network::save`] writes.
    pub(crate) fn header(&self) -> BTreeMap<String, String> {
        let mut entries: BTreeMap<String, String> =
            SafetensorsStore::default_metadata().into_iter().collect();
        // Readers of the PyTorch world look for this mark.
        entries.insert("format".into(), "pt".into());
        if let Some(head) = &self.head {
            entries.insert(head::ENTRY.into(), head::spelled(head));
        }
        if let Some(origin) = self.origin().filter(|origin| *origin != Origin::default()) {
            entries.insert(ORIGIN.into(), serde_json::json!(origin).to_string());
        }
        entries.extend(self.pruned.entries());
        entries.extend(self.grids.as_ref().map(grids::entry));
        if let Some(epsilon) = self.family.epsilon() {
            entries.insert(EPSILON.into(), epsilon.to_string());
        }
        let variant = self.family.variant();
        if variant != Variant::default() {
            entries.insert(VARIANT.into(), serde_json::json!(variant).to_string());
        }
        entries
    }
}

/// Writes a state dict as safetensors with the names of `keys` and the shapes of the reference, under a temporary name
/// first, and `entries` into the header.
///
/// # Errors
/// [`Error::Save`].
pub(crate) fn write(
    module: &impl ModuleSnapshot,
    path: &Path,
    keys: Vec<Key>,
    entries: impl IntoIterator<Item = (String, String)>,
) -> Result<(), Error> {
    let names = keys.into_iter().map(|key| (key.path, key.name));
    let mut store = SafetensorsStore::from_file(path)
        .overwrite(true)
        .skip_enum_variants(true)
        .with_to_adapter(Rename(names.collect()).chain(BurnToPyTorchAdapter));
    for (key, value) in entries {
        store = store.metadata(key, value);
    }
    let failed = |problem: String| Error::Save {
        path: path.to_owned(),
        problem,
    };
    // The validation copy holds the running statistics including the latest batch.
    let module = module.valid();
    module
        .save_into(&mut store)
        .map_err(|e| failed(e.to_string()))?;
    publish(path).map_err(|e| failed(e.to_string()))
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
pub(crate) struct Rename(pub BTreeMap<String, String>);

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
