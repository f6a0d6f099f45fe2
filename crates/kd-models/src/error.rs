//! What can be wrong with a network's name, its configuration, or its weights.

use std::path::PathBuf;

use crate::folder::FolderFormat;
use crate::formats::foreign::Foreign;
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
    /// A share of what training drops is none.
    #[error("{key} = {value}: a share of at least 0 and below 1")]
    Share {
        /// The key.
        key: &'static str,
        /// The value given.
        value: f64,
    },
    /// A file of weights could not be opened.
    #[error("cannot read weights from {}: {source}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Mean or standard deviation of the channels do not suit a network.
    #[error("mean {mean:?} and std {std:?}: {expected}")]
    Statistics {
        /// The means given.
        mean: Vec<f32>,
        /// The standard deviations given.
        std: Vec<f32>,
        /// What would be right.
        expected: String,
    },
    /// Widths that a network cannot have.
    #[error("`{model}` cannot be pruned so: {problem}")]
    Widths {
        /// The network.
        model: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// A network that cannot begin with layers of another.
    #[error("`{model}` cannot begin with layers of `{other}`: {problem}")]
    Layers {
        /// The network.
        model: String,
        /// The other one.
        other: String,
        /// Why not.
        problem: String,
    },
    /// A classifier that does not suit a network.
    #[error("`{model}` cannot have this classifier: {problem}")]
    Classifier {
        /// The network.
        model: String,
        /// Why not.
        problem: String,
    },
    /// In the place of a file of weights lies something else, such as a pointer of Git LFS.
    #[error("{} {found}", path.display())]
    StandIn {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: kd_files::StandIn,
    },
    /// A file of weights is damaged, or in no format that is read.
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
    /// Weights of another program.
    #[error("{} is {found}", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// What it is, and what to do.
        found: Foreign,
    },
    /// A file of a program with other layouts and names cannot be made into weights of a network here.
    #[error("{}, a file of {program}: {problem}", path.display())]
    Converted {
        /// The file.
        path: PathBuf,
        /// The program.
        program: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A folder without weights.
    #[error(
        "{} is a folder without weights: none of {looked} is in it; name a file",
        path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The files that were looked for.
        looked: String,
    },
    /// A file that describes weights is wrong.
    #[error(
        "{} describes weights and cannot be read: {problem}; correct it, or name the file of weights beside it",
        path.display()
    )]
    Described {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A pickled object of a class that is not known.
    #[error(
        "{} holds an object of the class `{class}`, and pickled classes are never executed: save its state dict in \
         the program that knows the class, torch.save(model.state_dict(), \"weights.pth\")",
        path.display()
    )]
    Object {
        /// The file.
        path: PathBuf,
        /// The class.
        class: String,
    },
    /// A file holds several networks that may be meant.
    #[error(
        "{} holds several networks, behind {}: say which one is meant, by `weights_prefix` beside `weights` in a \
         recipe, or by `--prefix` of `kd convert`",
        path.display(),
        listed(prefixes)
    )]
    SeveralNetworks {
        /// The file.
        path: PathBuf,
        /// What stands before the names of each; empty for one at the top.
        prefixes: Vec<String>,
    },
    /// A file has no keys behind the prefix that was asked for.
    #[error(
        "{} has no tensor behind the prefix `{prefix}`; its names begin with {}",
        path.display(),
        listed(there)
    )]
    Prefix {
        /// The file.
        path: PathBuf,
        /// What was asked for.
        prefix: String,
        /// The first names of its keys.
        there: Vec<String>,
    },
    /// A tensor of a file holds NaN or infinity.
    #[error(
        "{}: `{tensor}` holds {count} values of {of} that are not finite, the first is {value}: the training that \
         wrote it diverged, or the file is damaged; use an earlier checkpoint",
        path.display()
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor, by its name in the file.
        tensor: String,
        /// The first of the values.
        value: f32,
        /// How many there are.
        count: usize,
        /// How many values the tensor has.
        of: usize,
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
    /// A program cannot build a network.
    #[error(
        "`{model}` cannot be exported for {format}: {problem}. It can be exported as {possible}"
    )]
    Export {
        /// The network.
        model: String,
        /// The format.
        format: FolderFormat,
        /// Why not.
        problem: String,
        /// The formats that are possible.
        possible: String,
    },
    /// It is not known how images are normalised, or not for as many channels.
    #[error(
        "a folder for {format} says how images are normalised, and these weights do not say it for {channels} \
         channels: give the mean and the standard deviation of each channel, in units of 255"
    )]
    Unprepared {
        /// The format.
        format: FolderFormat,
        /// Channels of an image.
        channels: usize,
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

/// Prefixes for people: without their last dot, and the empty one in words.
fn listed(prefixes: &[String]) -> String {
    let listed = prefixes
        .iter()
        .map(|prefix| match prefix.trim_end_matches('.') {
            "" => "`` (at the top)".to_owned(),
            name => format!("`{name}`"),
        });
    listed.collect::<Vec<_>>().join(", ")
}
