//! A folder of images, the class by subfolder.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::listing::{Part, list, stray};
use super::source::FilesHash;
use super::spelling::{key, near};
use super::{Parts, Progress, Raw, SetInfo, picture};
use crate::{DataConfig, Error, Fit, ImageFiles, Images, Interpolation, Normalize};

/// Folders of test images, the first one that is there.
const TEST: [&str; 2] = ["test", "val"];
/// How many names a note spells out.
const SHOWN: usize = 5;
/// Bytes of images in memory that are told before they are read.
const MUCH: usize = 4 << 30;

/// Where the parts of a folder are.
struct Places {
    root: PathBuf,
    train: Option<PathBuf>,
    test: PathBuf,
}

impl Places {
    fn find(config: &DataConfig, parts: Parts) -> Result<Self, Error> {
        let root = config.dir();
        let folder = |name: &str| Some(root.join(name)).filter(|path| path.is_dir());
        let train = folder("train");
        let test = TEST.into_iter().find_map(folder);
        match test {
            Some(test) if train.is_some() || parts == Parts::Test => Ok(Self { root, train, test }),
            _ => Err(missing(&root)),
        }
    }

    /// The folder whose subfolders name the classes, so that both parts agree.
    fn names(&self) -> &Path {
        self.train.as_ref().unwrap_or(&self.test)
    }
}

pub(super) fn read(
    config: &DataConfig,
    parts: Parts,
    progress: &mut dyn FnMut(Progress),
) -> Result<Raw, Error> {
    let places = Places::find(config, parts)?;
    let size = config.size.unwrap_or(32);
    let naming = list(places.names())?;
    let classes = naming.names();
    if classes.is_empty() {
        let problem = "there are no class folders in it; one folder a class is wanted";
        return Err(Error::format(places.names(), problem));
    }
    let test = match places.train {
        Some(_) => list(&places.test)?,
        None => naming.clone(),
    };
    let labels = labels(&naming, &test)?;
    let mut left_out = around(&places)?;
    let mut hash = FilesHash::default();
    let needs_train = parts == Parts::All || config.normalize == Normalize::Dataset;
    let train = match (needs_train, &places.train) {
        (false, _) => empty(size, config.fit()),
        (true, Some(_)) => {
            let own: Vec<usize> = (0..classes.len()).collect();
            if let (None, Some(note)) = (config.fit(), much(&naming, size)) {
                progress(Progress::Note(note));
            }
            let mut reader = Reader {
                size,
                interpolation: config.interpolation.unwrap_or_default(),
                fit: config.fit(),
                hash: &mut hash,
                left_out: &mut left_out,
                progress,
            };
            let (images, counts) = reader.part(&naming, &own)?;
            if let Some(empty) = counts.iter().position(|&count| count == 0) {
                let problem = "there are no images (PNG, JPEG) in it; each class needs at least one to train on";
                return Err(Error::format(&naming.classes[empty].path, problem));
            }
            images
        }
        (true, None) => {
            return Err(Error::config(
                "normalize",
                "\"dataset\"",
                format!(
                    "the mean and deviation are those of the training images, and there is no {}; \
                     give {{ mean = [..], std = [..] }} or \"imagenet\"",
                    places.root.join("train").display()
                ),
            ));
        }
    };
    let mut reader = Reader {
        size,
        interpolation: config.interpolation.unwrap_or_default(),
        fit: config.fit(),
        hash: &mut hash,
        left_out: &mut left_out,
        progress,
    };
    let (test_images, _) = reader.part(&test, &labels)?;
    if test_images.is_empty() {
        let problem = "there are no images (PNG, JPEG) in its class folders; at least one is needed to test with";
        return Err(Error::format(&test.folder, problem));
    }
    if !left_out.is_empty() {
        progress(Progress::Note(note(&places.root, &left_out)));
    }
    Ok(Raw {
        classes,
        coarse_classes: Vec::new(),
        train,
        test: test_images,
        sha256: hash.finish(),
        source: places.root.display().to_string(),
    })
}

/// What the names of folders and files tell, before any image is read.
pub(super) fn survey(config: &DataConfig) -> Result<SetInfo, Error> {
    let places = Places::find(config, Parts::Test)?;
    let naming = list(places.names())?;
    let files = naming.classes.iter().map(|class| class.files.len());
    Ok(SetInfo {
        name: "folder",
        classes: naming.classes.len(),
        channels: 3,
        size: config.size.unwrap_or(32),
        train: places.train.as_ref().map_or(0, |_| files.sum()),
    })
}

/// No images yet, in memory or in files.
fn empty(size: usize, fit: Option<Fit>) -> Images {
    Images {
        files: fit.map(|fit| ImageFiles {
            paths: Vec::new(),
            fit,
        }),
        ..Images::empty(3, size, size)
    }
}

/// What images in memory will take, where that is much.
fn much(part: &Part, size: usize) -> Option<String> {
    let count: usize = part.classes.iter().map(|class| class.files.len()).sum();
    let bytes = count.saturating_mul(3 * size * size);
    (bytes > MUCH).then(|| {
        format!(
            "{}: {count} images of {size}x{size} take {:.1} GB of memory; with data.resize (such as {}) they stay in \
             their files and are decoded when they are shown",
            part.folder.display(),
            bytes as f64 / 1e9,
            size * 8 / 7
        )
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

/// The label of each class of the test part, by the names of the training part.
fn labels(naming: &Part, test: &Part) -> Result<Vec<usize>, Error> {
    let label = |class: &super::listing::Class| {
        let wanted = key(&class.name);
        let known = naming.classes.iter().position(|c| key(&c.name) == wanted);
        known.ok_or_else(|| {
            let names = naming.names();
            let hint = near(&class.name, &names).map_or(String::new(), |name| {
                format!("; is it `{name}`? Then rename the folder")
            });
            let problem = format!(
                "no such class in the training folder, which has `{}`{hint}",
                names.join("`, `")
            );
            Error::format(&class.path, problem)
        })
    };
    test.classes.iter().map(label).collect()
}

/// What lies beside the folders that are read. An image there would be left out, which is an error.
fn around(places: &Places) -> Result<Vec<PathBuf>, Error> {
    let read = [places.train.as_ref(), Some(&places.test)];
    let mut beside = Vec::new();
    for (_, path) in super::listing::entries(&places.root)? {
        if !read.contains(&Some(&path)) {
            if path.is_file() {
                stray(&path)?;
            }
            beside.push(path);
        }
    }
    Ok(beside)
}

/// Names what was not read.
fn note(root: &Path, left_out: &[PathBuf]) -> String {
    let name = |path: &PathBuf| {
        path.strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string()
    };
    let shown: Vec<String> = left_out.iter().take(SHOWN).map(name).collect();
    let more = match left_out.len() - shown.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{}: not read, because hidden, no image, or not in train or the test folder: {}{more}",
        root.display(),
        shown.join(", ")
    )
}

/// Reads the parts one after the other.
struct Reader<'a> {
    size: usize,
    interpolation: Interpolation,
    /// How images in files are cut; none for images in memory, which are stretched.
    fit: Option<Fit>,
    hash: &'a mut FilesHash,
    left_out: &'a mut Vec<PathBuf>,
    progress: &'a mut dyn FnMut(Progress),
}

impl Reader<'_> {
    /// Images of every class of one part in name order, with the number of each. `labels` are those of the
    /// part's classes.
    fn part(&mut self, part: &Part, labels: &[usize]) -> Result<(Images, Vec<usize>), Error> {
        let (size, interpolation) = (self.size, self.interpolation);
        let part_name = part
            .folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let mut images = empty(size, self.fit);
        let mut counts = Vec::new();
        self.left_out.extend(part.left_out.iter().cloned());
        // By label, as training and test images have always been ordered.
        let mut order: Vec<_> = part.classes.iter().zip(labels).collect();
        order.sort_by_key(|(_, label)| **label);
        for (class, &label) in order {
            (self.progress)(Progress::Reading(class.path.display().to_string()));
            let in_memory = self.fit.is_none();
            let read = |(name, path): &(String, PathBuf)| {
                let name = format!("{part_name}/{}/{name}", class.name);
                let Some(found) = picture::read(path)? else {
                    return Ok((name, path.clone(), None));
                };
                let planes = if in_memory {
                    found.stretched(size, interpolation)?
                } else {
                    // What cannot be read is better found now than hours later.
                    found.check()?;
                    Vec::new()
                };
                Ok((name, path.clone(), Some((found.bytes, planes))))
            };
            let before = images.len();
            // A few at a time: the encoded files need not all be in memory.
            for files in class.files.chunks(256) {
                let read: Vec<_> = files.par_iter().map(read).collect::<Result<_, Error>>()?;
                for (name, path, found) in read {
                    let Some((bytes, planes)) = found else {
                        self.left_out.push(path);
                        continue;
                    };
                    self.hash.add(&name, &bytes);
                    images.pixels.extend(planes);
                    images.labels.push(label as u32);
                    if let Some(files) = &mut images.files {
                        files.paths.push(path);
                    }
                }
            }
            counts.push(images.len() - before);
        }
        Ok((images, counts))
    }
}

#[cfg(test)]
#[path = "folder_tests.rs"]
mod tests;
