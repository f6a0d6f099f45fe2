//! A folder of images, the class by subfolder.

use std::path::{Path, PathBuf};

use image::imageops::FilterType;
use rayon::prelude::*;

use super::source::FilesHash;
use super::{Parts, Progress, Raw};
use crate::{DataConfig, Error, Images, Normalize};

/// Extensions that are decoded.
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];
/// Images that would be left out unnoticed.
const FOREIGN: [&str; 8] = ["webp", "bmp", "gif", "tif", "tiff", "avif", "heic", "ppm"];

pub(super) fn read(
    config: &DataConfig,
    parts: Parts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Raw, Error> {
    let root = config.dir();
    let size = config.size.unwrap_or(32);
    let train_folder = root.join("train");
    let test_folder = ["test", "val"]
        .map(|name| root.join(name))
        .into_iter()
        .find(|p| p.is_dir());
    let (Some(test_folder), true) = (test_folder, train_folder.is_dir() || parts == Parts::Test)
    else {
        return Err(missing(&root));
    };
    // Labels follow from the training folder where there is one, so that both parts agree.
    let class_folder = if train_folder.is_dir() {
        &train_folder
    } else {
        &test_folder
    };
    let classes = subfolders(class_folder)?;
    if classes.is_empty() {
        let problem = "there are no class folders in it; one folder a class is wanted";
        return Err(Error::format(class_folder, problem));
    }
    let mut hash = FilesHash::default();
    let needs_train = parts == Parts::All || config.normalize == Normalize::Dataset;
    let train = match needs_train {
        true if train_folder.is_dir() => {
            read_part(&train_folder, &classes, size, &mut hash, progress)?
        }
        true => {
            return Err(Error::config(
                "normalize",
                "\"dataset\"",
                format!(
                    "the mean and deviation are those of the training images, and there is no {}; \
                     give {{ mean = [..], std = [..] }} or \"imagenet\"",
                    train_folder.display()
                ),
            ));
        }
        false => Images::empty(3, size, size),
    };
    let test = read_part(&test_folder, &classes, size, &mut hash, progress)?;
    Ok(Raw {
        classes,
        coarse_classes: Vec::new(),
        train,
        test,
        sha256: hash.finish(),
        source: root.display().to_string(),
    })
}

fn missing(root: &Path) -> Error {
    let shown = root.display();
    Error::Missing {
        name: "folder".into(),
        looked: vec![
            format!("{shown}/train"),
            format!("{shown}/test"),
            format!("{shown}/val"),
        ],
        download: "an image folder is your own".into(),
        cure: "set data.dir to a folder with train/CLASS/*.png (or .jpg) and test/CLASS/*.png"
            .into(),
    }
}

/// Entries of a folder that are not hidden, in name order.
fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        let path = entry.map_err(Error::io("listing", folder))?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.starts_with('.') {
            entries.push((name, path));
        }
    }
    entries.sort();
    Ok(entries)
}

fn subfolders(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = entries(folder)?.into_iter();
    Ok(entries
        .filter(|(_, path)| path.is_dir())
        .map(|(name, _)| name)
        .collect())
}

/// Images of every class of one part, in name order.
fn read_part(
    folder: &Path,
    classes: &[String],
    size: usize,
    hash: &mut FilesHash,
    progress: &mut dyn FnMut(Progress),
) -> Result<Images, Error> {
    for name in subfolders(folder)? {
        if !classes.contains(&name) {
            let known = classes.join("`, `");
            let problem = format!("no such class in the training folder, which has `{known}`");
            return Err(Error::format(folder.join(name), problem));
        }
    }
    let part = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut images = Images::empty(3, size, size);
    for (label, class) in classes.iter().enumerate() {
        let class_folder = folder.join(class);
        progress(Progress::Reading(class_folder.display().to_string()));
        let files = if class_folder.is_dir() {
            self::images(&class_folder)?
        } else {
            Vec::new()
        };
        if files.is_empty() {
            let problem = "there are no images (.png, .jpg) in it; each class needs at least one";
            return Err(Error::format(class_folder, problem));
        }
        let decode = |(name, path): &(String, PathBuf)| {
            let bytes = std::fs::read(path).map_err(Error::io("reading", path))?;
            let planes = decode(&bytes, size).map_err(|error| {
                let problem = format!("not a PNG or JPEG that can be read: {error}");
                Error::format(path, problem)
            })?;
            Ok((format!("{part}/{class}/{name}"), bytes, planes))
        };
        // A few at a time: the encoded files need not all be in memory.
        for files in files.chunks(256) {
            let decoded: Vec<_> = files.par_iter().map(decode).collect::<Result<_, Error>>()?;
            for (name, bytes, planes) in decoded {
                hash.add(&name, &bytes);
                images.pixels.extend(planes);
                images.labels.push(label as u32);
            }
        }
    }
    Ok(images)
}

fn images(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut files = entries(folder)?;
    for (_, path) in &files {
        if FOREIGN.contains(&extension(path).as_str()) {
            let problem = "only PNG and JPEG are read; convert it or take it out";
            return Err(Error::format(path, problem));
        }
    }
    files.retain(|(_, path)| PICTURES.contains(&extension(path).as_str()) && path.is_file());
    Ok(files)
}

fn extension(path: &Path) -> String {
    path.extension()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase()
}

/// Decodes to RGB planes of `size × size`, whatever the aspect was.
fn decode(bytes: &[u8], size: usize) -> Result<Vec<u8>, image::ImageError> {
    let image = image::load_from_memory(bytes)?.to_rgb8();
    let side = size as u32;
    let image = if image.dimensions() == (side, side) {
        image
    } else {
        image::imageops::resize(&image, side, side, FilterType::Triangle)
    };
    let interleaved = image.as_raw();
    let channel = |c: usize| interleaved.iter().skip(c).step_by(3).copied();
    Ok((0..3).flat_map(channel).collect())
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
