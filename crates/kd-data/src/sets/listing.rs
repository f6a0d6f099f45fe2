//! What lies in a folder of class folders.

use std::path::{Path, PathBuf};

use super::picture::{self, Kind};
use super::spelling::key;
use crate::Error;

/// Folders in folders: more is a link that leads back to itself.
const DEEPEST: usize = 32;

/// The training or the test images of an image folder.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub folder: PathBuf,
    /// In name order.
    pub classes: Vec<Class>,
    /// What belongs to no class and is not read.
    pub left_out: Vec<PathBuf>,
}

/// A class folder.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub name: String,
    pub path: PathBuf,
    /// Every file in it and in its subfolders that is not hidden, by its name below the class, in name order.
    pub files: Vec<(String, PathBuf)>,
}

impl Part {
    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|c| c.name.clone()).collect()
    }
}

/// Lists a part. Links are followed.
///
/// # Errors
/// For a link that leads nowhere, an image outside the class folders, and two classes of the same name.
pub(super) fn list(folder: &Path) -> Result<Part, Error> {
    let mut part = Part {
        folder: folder.to_path_buf(),
        classes: Vec::new(),
        left_out: Vec::new(),
    };
    for (name, path) in entries(folder)? {
        if hidden(&name) {
            part.left_out.push(path);
        } else if path.is_dir() {
            let mut files = Vec::new();
            walk(&path, "", DEEPEST, &mut files, &mut part.left_out)?;
            part.classes.push(Class { name, path, files });
        } else {
            stray(&path)?;
            part.left_out.push(path);
        }
    }
    for (number, class) in part.classes.iter().enumerate() {
        let same = |other: &&Class| key(&other.name) == key(&class.name);
        if let Some(other) = part.classes[..number].iter().find(same) {
            let problem = format!(
                "this class and {} have names that look the same ({:?} and {:?}); put their images into one \
                 folder, or rename one",
                other.path.display(),
                class.name,
                other.name
            );
            return Err(Error::format(&class.path, problem));
        }
    }
    Ok(part)
}

/// The files of a class, those of its subfolders included.
fn walk(
    folder: &Path,
    below: &str,
    deeper: usize,
    files: &mut Vec<(String, PathBuf)>,
    left_out: &mut Vec<PathBuf>,
) -> Result<(), Error> {
    if deeper == 0 {
        let problem = format!(
            "more than {DEEPEST} folders lie in each other; does a link lead back to its own folder?"
        );
        return Err(Error::format(folder, problem));
    }
    for (name, path) in entries(folder)? {
        if hidden(&name) {
            left_out.push(path);
        } else if path.is_dir() {
            walk(
                &path,
                &format!("{below}{name}/"),
                deeper - 1,
                files,
                left_out,
            )?;
        } else {
            files.push((format!("{below}{name}"), path));
        }
    }
    Ok(())
}

/// Refuses an image that belongs to no class.
pub(super) fn stray(path: &Path) -> Result<(), Error> {
    match picture::kind_of_file(path)? {
        Kind::Other => Ok(()),
        _ => Err(Error::format(
            path,
            "an image outside the class folders would not be read; put it into train/CLASS or test/CLASS, or take \
             it out",
        )),
    }
}

fn hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Entries of a folder in name order; a link that leads nowhere is an error.
pub(super) fn entries(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io("listing", folder))? {
        let path = entry.map_err(Error::io("listing", folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.into_owned();
        if !hidden(&name) && !path.exists() {
            let problem = "a link that leads to nothing; mend it or take it out";
            return Err(Error::format(path, problem));
        }
        entries.push((name, path));
    }
    entries.sort();
    Ok(entries)
}
