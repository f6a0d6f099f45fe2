//! MNIST and Fashion-MNIST in IDX files, plain or gzip.

use std::path::{Path, PathBuf};

use super::names::{FASHION_MNIST, MNIST};
use super::source::{FilesHash, refuse_stand_in, ungzip};
use super::{Parts, Progress, Raw};
use crate::{DataConfig, Error, Images};

const TRAIN: [&str; 2] = ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"];
const TEST: [&str; 2] = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"];

pub(super) fn read(
    name: &str,
    config: &DataConfig,
    parts: Parts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Raw, Error> {
    let (classes, folders, page): (_, &[&str], _) = match name {
        "mnist" => (
            &MNIST,
            &["", "mnist", "MNIST/raw"],
            "http://yann.lecun.com/exdb/mnist",
        ),
        _ => (
            &FASHION_MNIST,
            &["", "fashion_mnist", "fashion-mnist", "FashionMNIST/raw"],
            "https://github.com/zalandoresearch/fashion-mnist",
        ),
    };
    let needed: Vec<&str> = match parts {
        Parts::All => [TRAIN, TEST].concat(),
        Parts::Test => TEST.to_vec(),
    };
    let dir = config.dir();
    let mut looked = Vec::new();
    for folder in folders.iter().map(|folder| dir.join(folder)) {
        let paths: Vec<_> = needed.iter().map(|file| variant(&folder, file)).collect();
        if let Some(paths) = paths.iter().cloned().collect::<Option<Vec<_>>>() {
            let mut files = Vec::new();
            for path in paths {
                progress(Progress::Reading(path.display().to_string()));
                let bytes = std::fs::read(&path).map_err(Error::io("reading", &path))?;
                refuse_stand_in(&path, &bytes)?;
                files.push((path, bytes));
            }
            return decode(files, classes, folder.display().to_string());
        }
        // Of a folder that has some of the files, say which are missing.
        let missing: Vec<&str> = needed
            .iter()
            .zip(&paths)
            .filter(|(_, path)| path.is_none())
            .map(|(n, _)| *n)
            .collect();
        looked.push(if missing.len() < needed.len() {
            format!("{} (has no {})", folder.display(), missing.join(", "))
        } else {
            folder.join(needed[0]).display().to_string()
        });
    }
    let mut cure = format!(
        "put {} (plain or .gz, from {page}) into {} or set data.dir (or the environment's KD_DATA) to the folder \
         that has them",
        needed.join(", "),
        dir.display()
    );
    if name == "fashion_mnist" {
        cure += "; Debian's package dataset-fashion-mnist has them in /usr/share/datasets/fashion-mnist";
    }
    Err(Error::Missing {
        name: name.into(),
        looked,
        download: "there is none for this set".into(),
        cure,
    })
}

/// The file under one of the spellings that are about.
fn variant(folder: &Path, name: &str) -> Option<PathBuf> {
    let dotted = name.replace("-idx", ".idx");
    [
        format!("{name}.gz"),
        name.into(),
        format!("{dotted}.gz"),
        dotted,
    ]
    .into_iter()
    .map(|file| folder.join(file))
    .find(|path| path.is_file())
}

/// Two or four files: (training images, their labels,) test images, their labels.
pub(super) fn decode(
    files: Vec<(PathBuf, Vec<u8>)>,
    classes: &[&str],
    source: String,
) -> Result<Raw, Error> {
    let mut hash = FilesHash::default();
    let mut by_name: Vec<_> = files
        .iter()
        .map(|(path, bytes)| {
            (
                path.file_name().unwrap_or_default().to_string_lossy(),
                bytes,
            )
        })
        .collect();
    by_name.sort();
    for (name, bytes) in by_name {
        hash.add(&name, bytes);
    }
    let mut sets = Vec::new();
    let mut files = files.into_iter();
    while let (Some(images), Some(labels)) = (files.next(), files.next()) {
        sets.push(decode_pair(images, labels, classes.len())?);
    }
    let test = sets.pop().unwrap_or_else(|| Images::empty(1, 28, 28));
    let train = sets
        .pop()
        .unwrap_or_else(|| Images::empty(1, test.height, test.width));
    if !train.is_empty() && (train.height, train.width) != (test.height, test.width) {
        let problem = format!(
            "training images are {}x{} and test images {}x{}",
            train.height, train.width, test.height, test.width
        );
        return Err(Error::format(source, problem));
    }
    Ok(Raw {
        classes: classes.iter().map(|&name| name.to_string()).collect(),
        coarse_classes: Vec::new(),
        train,
        test,
        sha256: hash.finish(),
        source,
    })
}

fn decode_pair(
    (path, bytes): (PathBuf, Vec<u8>),
    (label_path, label_bytes): (PathBuf, Vec<u8>),
    classes: usize,
) -> Result<Images, Error> {
    let (extents, pixels) = array::<3>(&path, bytes)?;
    let ([count], labels) = array::<1>(&label_path, label_bytes)?;
    let [n, height, width] = extents;
    if n == 0 || height == 0 || width == 0 {
        let problem = format!("there are no images in it: {n} of {height}x{width} pixels");
        return Err(Error::format(path, problem));
    }
    if n != count {
        let problem = format!("{count} labels for the {n} images of {}", path.display());
        return Err(Error::format(label_path, problem));
    }
    let mut seen = vec![false; classes];
    for (record, &label) in labels.iter().enumerate() {
        match seen.get_mut(usize::from(label)) {
            Some(seen) => *seen = true,
            None => {
                let problem = format!(
                    "record {record} (byte {}): label {label}; they go from 0 to {}",
                    8 + record,
                    classes - 1
                );
                return Err(Error::format(label_path, problem));
            }
        }
    }
    if let Some(class) = seen.iter().position(|&seen| !seen) {
        let problem = format!(
            "wrong class count: no image of class {class} among {n}; each of the {classes} \
             classes needs at least one"
        );
        return Err(Error::format(label_path, problem));
    }
    Ok(Images {
        pixels,
        labels: labels.into_iter().map(u32::from).collect(),
        ..Images::empty(1, height, width)
    })
}

/// An IDX array of bytes: `0, 0, 8, D`, then D big-endian extents, then the content.
fn array<const D: usize>(path: &Path, bytes: Vec<u8>) -> Result<([usize; D], Vec<u8>), Error> {
    let mut bytes = ungzip(path, bytes)?;
    let header = 4 + 4 * D;
    let magic = [0, 0, 8, D as u8];
    if !bytes.starts_with(&magic) || bytes.len() < header {
        let start = &bytes[..bytes.len().min(4)];
        let problem = format!(
            "not an IDX file of {D}-dimensional bytes: it starts with {start:?} and has {} bytes; \
             {magic:?} and at least {header} bytes are right",
            bytes.len()
        );
        return Err(Error::format(path, problem));
    }
    let extents: [usize; D] = std::array::from_fn(|d| {
        let at = 4 + 4 * d;
        bytes[at..at + 4]
            .iter()
            .fold(0, |value, &byte| (value << 8) | usize::from(byte))
    });
    let content = bytes.split_off(header);
    let wanted = extents
        .iter()
        .try_fold(1usize, |n, &extent| n.checked_mul(extent));
    if wanted != Some(content.len()) {
        let problem = format!(
            "its header says {extents:?}, and {} bytes follow where {} would be right: the file is \
             truncated or damaged",
            content.len(),
            wanted.map_or("impossibly many".into(), |n| n.to_string())
        );
        return Err(Error::format(path, problem));
    }
    Ok((extents, content))
}

#[cfg(test)]
#[path = "idx_tests.rs"]
mod tests;
