//! The sets that can be read, and how a name becomes a [`Dataset`].

mod cifar;
mod cifar_decode;
mod cifar_layout;
mod complete;
mod embedded;
mod folder;
mod idx;
mod info;
mod listing;
mod names;
mod pickle;
mod picture;
mod source;
mod spelling;

use std::sync::Arc;

pub use self::info::SetInfo;
pub(crate) use self::picture::{bitmap, stored_bitmap};
pub(crate) use self::source::hex;
use crate::{DataConfig, Dataset, Error, Images, Normalize};

/// Every value of `data.name`.
pub const NAMES: &[&str] = &[
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "fashion_mnist_small",
    "folder",
    "mnist",
];

/// What [`load`] is doing, for a progress bar.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A file is being fetched.
    Download {
        /// Its name.
        file: String,
        /// Bytes so far, those of an earlier, interrupted download included.
        received: u64,
        /// Bytes of the whole, where the server says.
        total: Option<u64>,
    },
    /// A file or folder is being read.
    Reading(String),
    /// A file's checksum is being compared.
    Verifying(String),
    /// Something that the user should know, such as which files were not read.
    Note(String),
}

/// Which parts of a set are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parts {
    All,
    Test,
}

/// What a reader of one format returns.
struct Raw {
    classes: Vec<String>,
    coarse_classes: Vec<String>,
    train: Images,
    test: Images,
    sha256: String,
    source: String,
}

/// Reads a set: finds it (or fetches it), checks its structure, and hashes it.
///
/// # Errors
/// [`Error::Missing`] when it is nowhere, [`Error::Format`] when it is not what it should be (with
/// file, place and cure), [`Error::Config`] and [`Error::Io`].
pub fn load(config: &DataConfig, progress: &mut dyn FnMut(Progress)) -> Result<Dataset, Error> {
    read(config, Parts::All, progress)
}

/// Reads the test set only; the training set need not be there and is empty in the result.
///
/// An image folder's training images are read nevertheless where `normalize = "dataset"` needs
/// their mean and standard deviation.
///
/// # Errors
/// As [`load`].
pub fn load_test(
    config: &DataConfig,
    progress: &mut dyn FnMut(Progress),
) -> Result<Dataset, Error> {
    read(config, Parts::Test, progress)
}

/// Sizes of a set before its images are read. Those of an image folder are counted by the names in it.
///
/// # Errors
/// As [`load`].
pub fn survey(config: &DataConfig) -> Result<SetInfo, Error> {
    config.validate()?;
    match SetInfo::find(&config.name) {
        Some(set) => Ok(set),
        None => folder::survey(config),
    }
}

fn read(
    config: &DataConfig,
    parts: Parts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Dataset, Error> {
    config.validate()?;
    let raw = match config.name.as_str() {
        "cifar10" => cifar::read(&cifar_layout::CIFAR10, config, parts, progress)?,
        "cifar100" => cifar::read(&cifar_layout::CIFAR100, config, parts, progress)?,
        "folder" => folder::read(config, parts, progress)?,
        "fashion_mnist_small" => embedded::read(parts)?,
        name => idx::read(name, config, parts, progress)?,
    };
    let (mean, std) = statistics(
        &config.normalize,
        &config.name,
        raw.test.channels,
        &raw.train,
    )?;
    let train = match parts {
        Parts::All => raw.train,
        Parts::Test => Images::empty(raw.test.channels, raw.test.height, raw.test.width),
    };
    Ok(Dataset {
        name: config.name.clone(),
        classes: raw.classes,
        coarse_classes: raw.coarse_classes,
        train: Arc::new(train),
        test: Arc::new(raw.test),
        mean,
        std,
        sha256: raw.sha256,
        source: raw.source,
    })
}

/// Mean and standard deviation of each channel by `normalize`. A set's own are the literature's, or those of its
/// training images.
pub(crate) fn statistics(
    normalize: &Normalize,
    name: &str,
    channels: usize,
    train: &Images,
) -> Result<(Vec<f32>, Vec<f32>), Error> {
    let own = match (normalize, literature(name)) {
        (Normalize::Dataset, Some((mean, std))) => (mean.to_vec(), std.to_vec()),
        (Normalize::Dataset, None) => train.statistics()?,
        // Images in files would be decoded for nothing.
        _ => Default::default(),
    };
    normalize.resolve(channels, own)
}

/// Mean and standard deviation as the literature uses them.
fn literature(name: &str) -> Option<(&'static [f32], &'static [f32])> {
    match name {
        "cifar10" => Some((&[0.4914, 0.4822, 0.4465], &[0.2470, 0.2435, 0.2616])),
        "cifar100" => Some((&[0.5071, 0.4867, 0.4408], &[0.2675, 0.2565, 0.2761])),
        "fashion_mnist" | "fashion_mnist_small" => Some((&[0.2860], &[0.3530])),
        "mnist" => Some((&[0.1307], &[0.3081])),
        _ => None,
    }
}
