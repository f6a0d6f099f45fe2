//! What the workers of a study share, and which of its work is whose.

use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The folder that workers share: finished trainings, leases, and runs under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared(PathBuf);

impl Shared {
    /// The shared folder at a path.
    pub fn new(path: &Path) -> Self {
        Self(path.into())
    }

    /// Finished trainings.
    pub fn finished(&self) -> PathBuf {
        self.0.join("finished")
    }

    /// Who does which work, and what is done.
    pub(super) fn leases(&self) -> PathBuf {
        self.0.join("shared/leases")
    }

    /// Runs under way.
    pub(super) fn runs(&self) -> PathBuf {
        self.0.join("shared/runs")
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
