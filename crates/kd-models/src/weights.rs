//! Weights in, by the reference's PyTorch names or another program's.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::store::burn_pack::Tensor as Stored;
use burn::store::{FloatCastAdapter, ModuleAdapter, ModuleSnapshot, PyTorchToBurnAdapter};
use burn::tensor::Device;

use crate::config::NetworkConfig;
use crate::finite::{NotFinite, not_finite};
use crate::fit::{NO_CLASSIFIER, Part, origin};
use crate::formats::folder;
use crate::keys::Key;
use crate::mismatch::{Mismatch, Shapes};
use crate::network::Network;
use crate::prefix::{self, Place};
use crate::pruned::Pruned;
use crate::{Error, grids, head, hint, spelling, state_dict};

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
        Self::lazy(config, device)?.fill(path.as_ref(), None, Part::Whole)
    }

    /// As [`Network::from_file`], but for the classifier, which is drawn: for weights that were trained without labels
    /// or for other classes. A classifier that the file has is left alone.
    ///
    /// # Errors
    /// As [`Network::from_file`].
    pub fn from_backbone_file(
        config: &NetworkConfig,
        path: impl AsRef<Path>,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::of_backbone(config, path.as_ref(), None, device)
    }

    /// As [`Network::from_backbone_file`], with the tensors whose names in the file begin with `prefix`.
    ///
    /// # Errors
    /// As [`Network::from_file_behind`].
    pub fn from_backbone_file_behind(
        config: &NetworkConfig,
        path: impl AsRef<Path>,
        prefix: &str,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::of_backbone(config, path.as_ref(), Some(prefix), device)
    }

    fn of_backbone(
        config: &NetworkConfig,
        path: &Path,
        prefix: Option<&str>,
        device: &Device,
    ) -> Result<Self, Error> {
        let network = Self::lazy(config, device)?;
        let network = network.fill(path, prefix, Part::WithoutClassifier)?;
        network.draw();
        Ok(network)
    }

    /// As [`Network::from_file`], with the tensors whose names in the file begin with `prefix`, such as
    /// `teacher` or `model_ema.module`. An empty prefix means those that stand at the top.
    ///
    /// # Errors
    /// As [`Network::from_file`], and [`Error::Prefix`].
    pub fn from_file_behind(
        config: &NetworkConfig,
        path: impl AsRef<Path>,
        prefix: &str,
        device: &Device,
    ) -> Result<Self, Error> {
        Self::lazy(config, device)?.fill(path.as_ref(), Some(prefix), Part::Whole)
    }

    /// Replaces every parameter and running statistic by those of a file.
    ///
    /// Files: safetensors, in one file or in several with an index, and PyTorch's (`.pth`, `.pt`, `.th`, `.pt2`) in
    /// any format it has written: state dicts, checkpoints, whole and compiled modules, exported programs (a pickle
    /// is parsed, never executed). The content says which, not the name. A folder is that of the Hugging Face hub or
    /// of timm, with `model.safetensors` or the like. Whatever stands before the
    /// network's own names is taken off (`state_dict`, `module`, `_orig_mod`, in any order and number), and
    /// what a training script keeps beside them is left alone. The counters `num_batches_tracked` and
    /// `n_averaged` are ignored. Otherwise every key must be used and none be missing. A head that the file
    /// names is taken, with its own keys; without one the network has its own classifier. A vision transformer
    /// understands the names of timm, Hugging Face and torchvision, and resizes its positions. Values are converted
    /// to the device's float type and must be finite. Clones of this network keep what they have.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Folder`], [`Error::StandIn`], [`Error::Foreign`], [`Error::Object`],
    /// [`Error::Format`], [`Error::SeveralNetworks`], [`Error::Mismatch`], [`Error::Head`], [`Error::NotFinite`].
    pub fn load(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        // A validation copy has running statistics of its own; clones share theirs.
        let trains = self.device().is_some_and(|device| device.is_autodiff());
        let own = self.valid();
        let own = if trains { own.train() } else { own };
        own.fill(path.as_ref(), None, Part::Whole)
    }

    fn fill(mut self, path: &Path, prefix: Option<&str>, part: Part) -> Result<Self, Error> {
        let (named, path) = (path, &folder::weights(path)?);
        let (mut stored, said) = state_dict::read(path)?;
        if let Some(pruned) = Pruned::of_file(path)? {
            self = self.with_widths(pruned)?;
        }
        self.grids = grids::of_file(path)?;
        self.head = head::of_file(path, &stored, &self.device().unwrap_or_default())?;
        let own = self.keys();
        let classifiers = self.classifiers(&own);
        let is_classifier = |path: &str| classifiers.iter().any(|start| path.starts_with(start));
        let spelling = self.spelling(&shapes(&stored), &own);
        let mut keys = match &spelling {
            Some(spelling) => spelling.keys(&own),
            None => own.clone(),
        };
        let stands_before = choose(path, &mut stored, &keys, prefix)?;
        let mut stored = without(stored, &stands_before);
        if let Some(spelling) = &spelling {
            stored.retain(|name, _| !spelling.ignores(name));
            self.family.set_origin(origin(path, spelling.origin)?);
        }
        self.take_epsilon(named, path, said.epsilon, spelling.as_ref())?;
        self.take_variant(path, said.variant)?;
        if part == Part::WithoutClassifier {
            for key in keys.extract_if(.., |key| is_classifier(&key.path)) {
                stored.remove(&key.name);
            }
        }
        self.refit(path, &keys, &mut stored)?;
        let shapes = shapes(&stored);
        let model = &self.config.model;
        if let Some(mut mismatch) = Mismatch::between(path.to_owned(), model, &keys, &shapes) {
            let lacks = keys.iter().filter(|key| is_classifier(&key.path));
            mismatch.hint = match mismatch.is_only_without(lacks) {
                true => Some(NO_CLASSIFIER.into()),
                false => hint::of(&self, &keys, &shapes, &stands_before),
            };
            return Err(Box::new(mismatch).into());
        }

        let tensors = spelling::take(path, stored, &keys, &own)?;
        let float = self.device().unwrap_or_default().settings().float_dtype;
        let adapter = PyTorchToBurnAdapter.chain(FloatCastAdapter::to(float.into()));
        let result = self.apply(tensors, None, Some(Box::new(adapter)), true);
        // Names and shapes fit by now: what is left are values that could not be read.
        let problems: Vec<String> = result.errors.iter().map(ToString::to_string).collect();
        let missing = result.missing.iter().any(|(path, _)| !is_classifier(path));
        if !problems.is_empty() || missing {
            return Err(Error::Format {
                path: path.to_owned(),
                problem: problems.join("; "),
            });
        }
        if let Some(NotFinite {
            path: place,
            value,
            count,
            of,
        }) = not_finite(&self)
        {
            let named = keys.iter().find(|key| key.path == place);
            let tensor = named.map_or(place.as_str(), |key| key.name.as_str());
            return Err(Error::NotFinite {
                path: path.to_owned(),
                tensor: format!("{stands_before}{tensor}"),
                value,
                count,
                of,
            });
        }
        if let Some(head) = &self.head {
            self.check_head(head)?;
        }
        Ok(self)
    }
}

pub(crate) fn shapes(stored: &BTreeMap<String, Stored>) -> Shapes {
    let shape = |tensor: &Stored| tensor.shape.iter().copied().collect();
    let each = stored.iter();
    each.map(|(name, tensor)| (name.clone(), shape(tensor)))
        .collect()
}

/// What stands before the network's names in a file; `stored` keeps only what a `prefix` that a user named
/// stands before.
pub(crate) fn choose(
    path: &Path,
    stored: &mut BTreeMap<String, Stored>,
    keys: &[Key],
    prefix: Option<&str>,
) -> Result<String, Error> {
    if let Some(prefix) = prefix {
        let found = shapes(stored);
        let Some(chosen) = prefix::chosen(&found, keys, prefix) else {
            return Err(Error::Prefix {
                path: path.to_owned(),
                prefix: prefix.to_owned(),
                there: prefix::tops(&found),
            });
        };
        stored.retain(|name, _| chosen.contains(name));
    }
    match prefix::find(&shapes(stored), keys) {
        Place::Behind(found) => {
            // What the user named is taken off even where the names behind it are another network's.
            let named = prefix.map(prefix::with_dot).unwrap_or_default();
            Ok(if found.starts_with(&named) {
                found
            } else {
                named
            })
        }
        Place::Several(prefixes) => Err(Error::SeveralNetworks {
            path: path.to_owned(),
            prefixes,
        }),
    }
}

/// Keys that start with `prefix`, without it.
pub(crate) fn without(tensors: BTreeMap<String, Stored>, prefix: &str) -> BTreeMap<String, Stored> {
    tensors
        .into_iter()
        .filter_map(|(key, tensor)| Some((key.strip_prefix(prefix)?.to_owned(), tensor)))
        .collect()
}
