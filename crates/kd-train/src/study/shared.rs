//! What the workers of a study share, and which of its work is whose.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use kd_store::{AnyStore, Archive};

use crate::Error;

/// What workers share: finished trainings, leases, and in a folder also runs under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The folder that is shared, or this worker's own beside an object store.
    folder: PathBuf,
    /// The address of an object store.
    address: Option<String>,
}

impl Shared {
    /// The shared folder at a path.
    pub fn new(path: &Path) -> Self {
        Self {
            folder: path.into(),
            address: None,
        }
    }

    /// A shared folder, or the object store at an address such as `s3://BUCKET/PREFIX`; `own` then gets copies of what
    /// this worker needs of it.
    pub fn open(store: &str, own: &Path) -> Self {
        if kd_store::is_address(store) {
            Self {
                folder: own.into(),
                address: Some(store.into()),
            }
        } else {
            Self::new(Path::new(store))
        }
    }

    /// As of an object store, in a folder in its place.
    #[cfg(test)]
    pub(crate) fn archived(store: &Path, own: &Path) -> Self {
        Self {
            folder: own.into(),
            address: Some(store.display().to_string()),
        }
    }

    /// Finished trainings, or copies of them.
    pub fn finished(&self) -> PathBuf {
        self.folder.join("finished")
    }

    /// Finished trainings of all workers of an object store.
    pub(crate) fn archive(&self) -> Result<Option<Archive>, Error> {
        Ok(self.address.as_deref().map(Archive::open).transpose()?)
    }

    /// Who does which work, and what is done.
    pub(super) fn leases(&self) -> Result<AnyStore, Error> {
        if let Some(address) = &self.address {
            return Ok(kd_store::open(address, "leases")?);
        }
        let folder = kd_store::Folder::new(&self.folder.join("shared/leases"))?;
        Ok(std::sync::Arc::new(folder))
    }

    /// Runs under way.
    pub(super) fn runs(&self) -> PathBuf {
        self.folder.join("shared/runs")
    }
}

/// A part of the work: that whose number is `index` modulo `count`. As text: `2/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// All of the work.
    pub const ALL: Self = Self { index: 1, count: 1 };

    /// The file of this part of what the file `whole` holds: `whole.2-of-4`, and `whole` itself for all of it.
    pub fn file(self, whole: &Path) -> PathBuf {
        let mut name = whole.as_os_str().to_owned();
        if self != Self::ALL {
            name.push(format!(".{}-of-{}", self.index, self.count));
        }
        name.into()
    }

    /// Whether a piece of work, numbered from 0, is of this part.
    pub fn has(self, number: usize) -> bool {
        number % self.count == self.index - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let numbers = parts.and_then(|(index, count)| {
            Some((index.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
        });
        match numbers {
            Some((index, count)) if (1..=count).contains(&index) => Ok(Self { index, count }),
            _ => Err("write I/N, the I-th of N parts, such as 1/4 to 4/4".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_all_of_the_work_and_have_none_in_common() {
        for count in 1..6 {
            let shards: Vec<Shard> = (1..=count)
                .map(|index| format!("{index}/{count}").parse().unwrap())
                .collect();
            for number in 0..20 {
                assert_eq!(shards.iter().filter(|s| s.has(number)).count(), 1);
            }
        }
        assert!((0..9).all(|number| Shard::ALL.has(number)));
        for wrong in ["0/2", "3/2", "1", "1/0", "a/b", "-1/2", "1/2/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
