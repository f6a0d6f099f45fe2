//! State dicts of detectors.

use std::collections::BTreeSet;
use std::path::Path;

use burn::module::Module;
use burn::store::{FloatCastAdapter, ModuleAdapter, ModuleSnapshot, PyTorchToBurnAdapter};
use burn::tensor::Device;

use crate::keys::{self, Key};
use crate::mismatch::Mismatch;
use crate::saved;
use crate::spelling::Spelling;
use crate::weights::{choose, shapes, without};
use crate::{Error, NotFinite, not_finite, spelling, state_dict};

/// A module with the names of a reference's state dict.
pub(crate) trait State: Module + ModuleSnapshot {
    /// What messages call it.
    fn name(&self) -> String;

    /// The reference's name of a path of the module, as [`keys::of`] gives it.
    fn reference_key(&self, path: &str) -> String;

    /// Names of older files, as they are called today.
    fn todays_name(name: &str) -> String {
        name.to_owned()
    }

    /// How files name its tensors; none where all have the reference's names.
    fn spellings(&self, own: &[Key]) -> Vec<Spelling> {
        let _ = own;
        Vec::new()
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
        self.fill_but(path, &[], &[])
    }

    /// As [`State::fill`], but for tensors whose paths begin as one of `never`, which stay as they are, and of those of
    /// `optional` where the file has none of them.
    ///
    /// # Errors
    /// As [`State::fill`].
    fn fill_but(&mut self, path: &Path, never: &[&str], optional: &[&str]) -> Result<(), Error> {
        let (stored, _) = state_dict::read(path)?;
        let today = stored.into_iter();
        let mut stored = today
            .map(|(name, tensor)| (Self::todays_name(&name), tensor))
            .collect();
        let own = self.keys();
        let spelling = spelling::of_file(&shapes(&stored), self.spellings(&own), &own);
        let mut keys = match &spelling {
            Some(spelling) => spelling.keys(&own),
            None => own.clone(),
        };
        let stands_before = choose(path, &mut stored, &keys, None)?;
        let mut stored = without(stored, &stands_before);
        let mut left: Vec<&str> = never.to_vec();
        for start in optional {
            let mut there = keys.iter().filter(|key| key.path.starts_with(start));
            if there.all(|key| !stored.contains_key(&key.name)) {
                left.push(start);
            }
        }
        let is_left = |path: &str| left.iter().any(|start| path.starts_with(start));
        for key in keys.extract_if(.., |key| is_left(&key.path)) {
            stored.remove(&key.name);
        }
        if let Some(spelling) = &spelling {
            let wanted: BTreeSet<&str> = keys.iter().map(|key| key.name.as_str()).collect();
            stored.retain(|name, _| wanted.contains(name.as_str()) || !spelling.ignores(name));
        }
        if let Some(mismatch) =
            Mismatch::between(path.to_owned(), &self.name(), &keys, &shapes(&stored))
        {
            return Err(Box::new(mismatch).into());
        }
        let tensors = spelling::take(path, stored, &keys, &own)?;
        let float = self.own_device().settings().float_dtype;
        let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(float.into()));
        let result = self.apply(tensors, None, Some(Box::new(adapter)), true);
        let problems: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
        let missing = result.missing.iter().any(|(path, _)| !is_left(path));
        if !problems.is_empty() || missing {
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
        self.write_with(path, &[])
    }

    /// As [`State::write`], with entries for the header.
    ///
    /// # Errors
    /// [`Error::Save`].
    fn write_with(&self, path: &Path, entries: &[(String, String)]) -> Result<(), Error> {
        let format = ("format".to_owned(), "pt".to_owned());
        let entries = entries.iter().cloned().chain([format]);
        saved::write(self, path, self.keys(), entries)
    }
}
