//! Formats of weights beside plain state dicts: what is read of them, and what is said of those that are not.

pub(crate) mod archive;
mod exported;
pub(crate) mod flax;
pub(crate) mod folder;
pub(crate) mod foreign;
#[cfg(feature = "keras")]
pub(crate) mod keras;
pub(crate) mod layers;
pub(crate) mod legacy;
mod objects;
pub(crate) mod shards;
pub(crate) mod transformers;
mod view;

use std::collections::BTreeMap;

use burn::store::burn_pack::Tensor as Stored;

/// Tensors by their names in a file.
pub(crate) type Tensors = BTreeMap<String, Stored>;

#[cfg(test)]
mod tests;
