//! CIFAR-10 and CIFAR-100 (Krizhevsky 2009): where they are.

use std::path::Path;

use super::cifar_decode::decode;
use super::cifar_layout::{Cifar, Layout};
use super::source::{Files, read_archive, read_folder};
use super::{Parts, Progress, Raw};
use crate::checksum::Checksum;
use crate::download::Fetch;
use crate::{DataConfig, Error};

const PAGE: &str = "https://www.cs.toronto.edu/~kriz/";

pub(super) fn read(
    cifar: &Cifar,
    config: &DataConfig,
    parts: Parts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Raw, Error> {
    let fetch = Fetch::new(PAGE, Checksum::Md5(cifar.md5.into()));
    read_from(cifar, config, parts, &fetch, progress)
}

/// `fetch.url` is the page that has the archive.
fn read_from(
    cifar: &Cifar,
    config: &DataConfig,
    parts: Parts,
    fetch: &Fetch,
    progress: &mut dyn FnMut(Progress),
) -> Result<Raw, Error> {
    let mut looked = Vec::new();
    let found = find(cifar, &config.dir(), parts, &mut looked, progress)?;
    let (layout, files) = match found {
        Some(found) => found,
        None => fetch_archive(cifar, config, parts, fetch, looked, progress)?,
    };
    decode(cifar, layout, files, parts)
}

/// The first place that has all files, among the archive that `dir` is, the folders and the
/// archives in it.
fn find<'a>(
    cifar: &'a Cifar,
    dir: &Path,
    parts: Parts,
    looked: &mut Vec<String>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<(&'a Layout, Files)>, Error> {
    let layouts = [&cifar.binary, &cifar.python];
    if dir.is_file() {
        let names = layouts.map(|layout| layout.wanted(parts)).concat();
        let files = read_archive(dir, &names, progress)?;
        let complete = |layout: &&Layout| {
            let mut needed = layout.needed(parts).into_iter();
            needed.all(|name| files.entries.contains_key(name))
        };
        return match layouts.into_iter().find(complete) {
            Some(layout) => Ok(Some((layout, files))),
            None => Err(Error::format(
                dir,
                format!(
                    "no {} archive: it should hold {} or {}",
                    cifar.name,
                    list(&cifar.binary.needed(parts)),
                    list(&cifar.python.needed(parts))
                ),
            )),
        };
    }
    for layout in layouts {
        for folder in [dir.join(layout.folder), dir.to_path_buf()] {
            let mut missing = layout.needed(parts);
            let all = missing.len();
            missing.retain(|name| !folder.join(name).is_file());
            if missing.is_empty() {
                let files = read_folder(&folder, &layout.wanted(parts), progress)?;
                return Ok(Some((layout, files)));
            }
            let without = if missing.len() < all {
                format!(" (has no {})", list(&missing))
            } else {
                format!("/{}", layout.test)
            };
            looked.push(format!("{}{without}", folder.display()));
        }
    }
    for layout in layouts {
        let archive = dir.join(layout.archive);
        if archive.is_file() {
            let files = read_archive(&archive, &layout.wanted(parts), progress)?;
            return Ok(Some((layout, files)));
        }
        looked.push(archive.display().to_string());
    }
    Ok(None)
}

fn list(names: &[&str]) -> String {
    names.join(", ")
}

fn fetch_archive<'a>(
    cifar: &'a Cifar,
    config: &DataConfig,
    parts: Parts,
    fetch: &Fetch,
    looked: Vec<String>,
    progress: &mut dyn FnMut(Progress),
) -> Result<(&'a Layout, Files), Error> {
    let layout = &cifar.binary;
    let (dir, url) = (config.dir(), format!("{}{}", fetch.url, layout.archive));
    let target = dir.join(layout.archive);
    let download = if config.download {
        let fetch = Fetch {
            url: url.clone(),
            ..fetch.clone()
        };
        match fetch.to(&target, progress) {
            Ok(()) => {
                let files = read_archive(&target, &layout.wanted(parts), progress)?;
                return Ok((layout, files));
            }
            Err(error) => error.to_string(),
        }
    } else {
        "switched off (data.download = false)".into()
    };
    Err(Error::Missing {
        name: cifar.name.into(),
        looked,
        download,
        cure: format!(
            "put {} (from {url}) or {} into {}, or set data.dir (or the environment's KD_DATA) to the folder or \
             archive you have",
            layout.archive,
            cifar.python.archive,
            dir.display()
        ),
    })
}

#[cfg(test)]
#[path = "cifar_tests.rs"]
mod tests;
