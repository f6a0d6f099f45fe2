//! What can be wrong with a network's name, its configuration, or its weights.

use std::path::PathBuf;

use crate::mismatch::Mismatch;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No network has this name.
    #[error("there is no network `{name}`{}", did_you_mean(nearest))]
    UnknownModel {
        /// The name given.
        name: String,
        /// Registered names that are spelled alike, nearest first.
        nearest: Vec<&'static str>,
    },
    /// A value of a [`NetworkConfig`](crate::NetworkConfig) is out of its range.
    #[error("{key} = {value}: {expected}")]
    Config {
        /// The key as a recipe spells it.
        key: &'static str,
        /// The value given.
        value: usize,
        /// What would be right.
        expected: String,
    },
    /// A file of weights has an extension that says nothing about its format.
    #[error(
        "{}: weights are read from `.safetensors`, `.pth`, `.pt` and `.th` files; rename the file \
         if it is one of these",
        path.display()
    )]
    Extension {
        /// The file.
        path: PathBuf,
    },
    /// A file of weights could not be opened.
    #[error("cannot read weights from {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of weights is damaged or is not what its extension says.
    #[error(
        "{} is not a readable weights file: {problem}. It may be cut off or damaged: compare its \
         size with the original and copy it again",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        problem: String,
    },
    /// The weights in a file do not fit the network.
    #[error(transparent)]
    Mismatch(#[from] Box<Mismatch>),
    /// A network was given a head in the place of its classifier and has no place for one.
    #[error(
        "this network cannot be given another head: implement `Backbone::with_head`, or leave out the term \
         that trains one (simkd)"
    )]
    NoHead,
    /// A head does not fit the network that it is given to.
    #[error("the head does not fit `{model}`: {problem}")]
    Head {
        /// The network.
        model: String,
        /// What it lacks.
        problem: kd_core::Error,
    },
    /// Weights could not be written.
    #[error("cannot write weights to {}: {problem}", path.display())]
    Save {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
}

fn did_you_mean(nearest: &[&str]) -> String {
    if nearest.is_empty() {
        "; `kd models` lists them".into()
    } else {
        format!(
            "; did you mean {}?",
            nearest
                .iter()
                .map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        )
    }
}
