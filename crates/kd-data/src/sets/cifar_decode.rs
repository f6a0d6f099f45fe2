//! What must hold of CIFAR's files, and the images in them.

use std::path::{Path, PathBuf};

use super::cifar_layout::{Cifar, Format, Layout};
use super::source::Files;
use super::{Parts, Raw, pickle};
use crate::{Error, Images};

/// Bytes of an image.
pub(super) const PIXELS: usize = 3 * 32 * 32;

pub(super) fn decode(
    cifar: &Cifar,
    layout: &Layout,
    mut files: Files,
    parts: Parts,
) -> Result<Raw, Error> {
    let mut train = Images::empty(3, 32, 32);
    if parts == Parts::All {
        for name in layout.train {
            let (path, bytes) = files.take(name)?;
            append(cifar, layout.format, &path, &bytes, &mut train)?;
        }
        let name = match layout.train {
            [only] => files.origin.join(only),
            _ => files.origin.clone(),
        };
        check_counts(&train, cifar, &name, "training", cifar.official[0])?;
    }
    let mut test = Images::empty(3, 32, 32);
    let (path, bytes) = files.take(layout.test)?;
    append(cifar, layout.format, &path, &bytes, &mut test)?;
    drop(bytes);
    check_counts(&test, cifar, &path, "test", cifar.official[1])?;
    let (classes, coarse_classes) = class_names(cifar, layout, &mut files)?;
    Ok(Raw {
        classes,
        coarse_classes,
        train,
        test,
        sha256: files.sha256,
        source: files.origin.display().to_string(),
    })
}

fn append(
    cifar: &Cifar,
    format: Format,
    path: &Path,
    bytes: &[u8],
    images: &mut Images,
) -> Result<(), Error> {
    match format {
        Format::Binary => append_records(cifar, path, bytes, images),
        Format::Python => append_pickle(cifar, path, bytes, images),
    }
}

/// Records: (coarse label), label, red plane, green plane, blue plane.
fn append_records(
    cifar: &Cifar,
    path: &Path,
    bytes: &[u8],
    images: &mut Images,
) -> Result<(), Error> {
    let label_bytes = if cifar.coarse.is_empty() { 1 } else { 2 };
    let size = label_bytes + PIXELS;
    let (records, rest) = (bytes.len() / size, bytes.len() % size);
    if rest != 0 {
        return Err(Error::format(
            path,
            format!(
                "{} bytes are {records} records of {size} bytes and {rest} bytes more: the file is \
                 truncated, or it is not the binary version of {}",
                bytes.len(),
                cifar.name
            ),
        ));
    }
    images.pixels.reserve(records * PIXELS);
    for (record, data) in bytes.chunks_exact(size).enumerate() {
        let (labels, pixels) = data.split_at(label_bytes);
        let place = |byte: usize| format!("record {record} (byte {})", record * size + byte);
        if let [coarse, _] = labels {
            let coarse = checked(path, "coarse label", *coarse, cifar.coarse.len(), || {
                place(0)
            })?;
            images.coarse.get_or_insert_default().push(coarse);
        }
        let last = label_bytes - 1;
        let what = if last == 0 { "label" } else { "fine label" };
        let label = checked(path, what, labels[last], cifar.classes.len(), || {
            place(last)
        })?;
        images.labels.push(label);
        images.pixels.extend_from_slice(pixels);
    }
    Ok(())
}

fn checked(
    path: &Path,
    what: &str,
    label: impl Into<i64>,
    classes: usize,
    place: impl Fn() -> String,
) -> Result<u32, Error> {
    let label = label.into();
    match u32::try_from(label) {
        Ok(label) if (label as usize) < classes => Ok(label),
        _ => Err(Error::format(
            path,
            format!(
                "{}: {what} {label}; they go from 0 to {}",
                place(),
                classes - 1
            ),
        )),
    }
}

fn append_pickle(
    cifar: &Cifar,
    path: &Path,
    bytes: &[u8],
    images: &mut Images,
) -> Result<(), Error> {
    let pickled = pickle::parse(bytes).map_err(|problem| Error::format(path, problem))?;
    let problem = |text: String| Error::format(path, text);
    let (shape, pixels) = pickled.bytes_array("data").map_err(problem)?;
    let [records, PIXELS] = shape[..] else {
        let text = format!("`data` has shape {shape:?}; [images, {PIXELS}] is right");
        return Err(problem(text));
    };
    let labels_of = |key: &str, classes: usize| -> Result<Vec<u32>, Error> {
        let labels = pickled.integers(key).map_err(problem)?;
        if labels.len() != records {
            let text = format!("{} `{key}` for {records} images in `data`", labels.len());
            return Err(problem(text));
        }
        let each = labels.into_iter().enumerate();
        each.map(|(record, label)| {
            checked(path, "label", label, classes, || {
                format!("`{key}`, record {record}")
            })
        })
        .collect()
    };
    if cifar.coarse.is_empty() {
        images
            .labels
            .extend(labels_of("labels", cifar.classes.len())?);
    } else {
        images
            .labels
            .extend(labels_of("fine_labels", cifar.classes.len())?);
        let coarse = labels_of("coarse_labels", cifar.coarse.len())?;
        images.coarse.get_or_insert_default().extend(coarse);
    }
    images.pixels.extend_from_slice(&pixels);
    Ok(())
}

/// Both sets are balanced, so a file that was cut between two records shows.
fn check_counts(
    images: &Images,
    cifar: &Cifar,
    path: &Path,
    part: &str,
    official: usize,
) -> Result<(), Error> {
    if images.is_empty() {
        let problem =
            format!("there are no {part} images in it; it should hold at least one a class");
        return Err(Error::format(path, problem));
    }
    let counts = images.counts(cifar.classes.len());
    let classes = || 0..counts.len();
    let least = classes().min_by_key(|&class| counts[class]).unwrap_or(0);
    let most = classes()
        .rev()
        .max_by_key(|&class| counts[class])
        .unwrap_or(0);
    if counts[least] == counts[most] {
        return Ok(());
    }
    Err(Error::format(
        path,
        format!(
            "wrong class counts among {} {part} images: {} of class {least} (`{}`) and {} of \
             class {most} (`{}`); every class must have the same number ({official} in the \
             official {}), so images are missing or labels are wrong",
            images.len(),
            counts[least],
            cifar.classes[least],
            counts[most],
            cifar.classes[most],
            cifar.name
        ),
    ))
}

type Names = (Vec<String>, Vec<String>);

/// From the set's own list where there is one, which must be as long as the set has classes.
fn class_names(cifar: &Cifar, layout: &Layout, files: &mut Files) -> Result<Names, Error> {
    let mut names: Names = (owned(cifar.classes), owned(cifar.coarse));
    let mut check = |path: &PathBuf, list: Vec<String>, coarse: bool| {
        let known = if coarse { &mut names.1 } else { &mut names.0 };
        if list.len() != known.len() {
            let what = if coarse { "superclasses" } else { "classes" };
            let problem = format!(
                "names {} {what}; {} has {}",
                list.len(),
                cifar.name,
                known.len()
            );
            return Err(Error::format(path, problem));
        }
        *known = list;
        Ok(())
    };
    for name in layout.meta {
        if !files.entries.contains_key(*name) {
            continue;
        }
        let (path, bytes) = files.take(name)?;
        match layout.format {
            Format::Binary => {
                let text = String::from_utf8_lossy(&bytes);
                let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
                check(
                    &path,
                    lines.map(String::from).collect(),
                    name.starts_with("coarse"),
                )?;
            }
            Format::Python => {
                let problem = |text| Error::format(&path, text);
                let pickled = pickle::parse(&bytes).map_err(problem)?;
                if cifar.coarse.is_empty() {
                    check(&path, pickled.texts("label_names").map_err(problem)?, false)?;
                } else {
                    check(
                        &path,
                        pickled.texts("fine_label_names").map_err(problem)?,
                        false,
                    )?;
                    check(
                        &path,
                        pickled.texts("coarse_label_names").map_err(problem)?,
                        true,
                    )?;
                }
            }
        }
    }
    Ok(names)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_string()).collect()
}
