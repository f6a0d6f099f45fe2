//! State dicts of detectors.

use std::path::Path;

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleAdapter, ModuleSnapshot, PyTorchToBurnAdapter};
use burn::tensor::Device;

use crate::keys::{self, Key};
use crate::mismatch::Mismatch;
use crate::saved;
use crate::weights::{choose, shapes, without};
use crate::{Error, NotFinite, not_finite, spelling, state_dict};

/// A module with the names of a reference's state dict.
pub(super) trait State: Module + ModuleSnapshot {
    /// What messages call it.
    fn name(&self) -> String;

    /// The reference's name of a path of the module, as [`keys::of`] gives it.
    fn reference_key(&self, path: &str) -> String;

    /// Names of older files, as they are called today.
    fn todays_name(name: &str) -> String {
        name.to_owned()
    }

    /// Every tensor of the state dict.
    fn keys(&self) -> Vec<Key> {
        keys::of(self, |path| self.reference_key(path))
    }

    /// Where the parameters are.
    fn own_device(&self) -> Device {
        let devices = self.collect_devices(Vec::new());
        devices.into_iter().next().unwrap_or_default()
    }

    /// Fills every parameter and running statistic from a file: each key must be used and none be missing.
    ///
    /// # Errors
    /// As [`Network::load`](crate::Network::load).
    fn fill(&mut self, path: &Path) -> Result<(), Error> {
        let (stored, _) = state_dict::read(path)?;
        let today = stored.into_iter();
        let mut stored = today
            .map(|(name, tensor)| (Self::todays_name(&name), tensor))
            .collect();
        let keys = self.keys();
        let stands_before = choose(path, &mut stored, &keys, None)?;
        let stored = without(stored, &stands_before);
        if let Some(mismatch) =
            Mismatch::between(path.to_owned(), &self.name(), &keys, &shapes(&stored))
        {
            return Err(Box::new(mismatch).into());
        }
        let tensors = spelling::take(path, stored, &keys, &keys)?;
        let float = self.own_device().settings().float_dtype;
        let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(float.into()));
        let result = self.apply(tensors, None, Some(Box::new(adapter)), true);
        let problems: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
        if !problems.is_empty() || !result.missing.is_empty() {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: problems.join("; "),
            });
        }
        match not_finite(self) {
            None => Ok(()),
            Some(NotFinite {
                path: place,
                value,
                count,
                of,
            }) => {
                let named = keys.iter().find(|key| key.path == place);
                let tensor = named.map_or(place, |key| key.name.clone());
                Err(Error::NotFinite {
                    path: path.to_owned(),
                    tensor: format!("{stands_before}{tensor}"),
                    value,
                    count,
                    of,
                })
            }
        }
    }

    /// Writes the state dict as safetensors, with the reference's names and shapes.
    ///
    /// # Errors
    /// [`Error::Save`].
    fn write(&self, path: &Path) -> Result<(), Error> {
        let entry = ("format".to_owned(), "pt".to_owned());
        saved::write(self, path, self.keys(), [entry])
    }
}
