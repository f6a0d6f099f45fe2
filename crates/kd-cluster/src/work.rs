//! What is to be done, whatever the engine.

use crate::error::wrong;
use crate::{Error, Memory};

/// What a worker gets.
#[derive(Clone, Copy, Debug)]
pub struct Resources {
    /// CPU cores.
    pub cpus: u32,
    /// Memory.
    pub memory: Memory,
    /// Whether it has a GPU. A run uses one device, so it has no more.
    pub gpu: bool,
}

/// A study, and how many workers do it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Work {
    /// Name of the study.
    pub name: String,
    /// Its file, as the workers see it.
    pub study: String,
    /// Folder for the results.
    pub out: String,
    /// What workers share, when it is not the folder for the results.
    pub store: Option<String>,
    /// How the command `kd` is called on the machines.
    pub kd: String,
    /// More arguments of all calls, such as `--set`.
    pub arguments: Vec<String>,
    /// How many workers.
    pub workers: usize,
    /// After how many seconds without a sign of life a worker's training is taken over.
    pub lease: u64,
    /// What each gets.
    pub resources: Resources,
}

impl Work {
    /// One worker on four cores.
    pub fn new(name: &str, study: &str, out: &str) -> Self {
        Self {
            name: name.into(),
            study: study.into(),
            out: out.into(),
            store: None,
            kd: "kd".into(),
            arguments: Vec::new(),
            workers: 1,
            lease: 60,
            resources: Resources {
                cpus: 4,
                memory: Memory::GIB_8,
                gpu: false,
            },
        }
    }

    /// The words of a worker's command; `part` is the option that says which work is its.
    pub(crate) fn worker(&self, part: &[&str]) -> Vec<String> {
        let mut words = self.table();
        words.extend(part.iter().map(|&word| word.into()));
        words.extend(["--lease".into(), self.lease.to_string()]);
        words
    }

    /// The words of the command that makes the table.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut words = vec![self.kd.clone(), "study".into(), self.study.clone()];
        words.extend(["--out".into(), self.out.clone()]);
        if let Some(store) = &self.store {
            words.extend(["--store".into(), store.clone()]);
        }
        words.extend(self.arguments.iter().cloned());
        words
    }

    /// A name that every engine takes: of small letters, digits and hyphens, 50 at most.
    pub(crate) fn job(&self) -> String {
        let words = self.name.split(|c: char| !c.is_ascii_alphanumeric());
        let words = ["kd"]
            .into_iter()
            .chain(words.filter(|word| !word.is_empty()));
        let mut name = words.collect::<Vec<_>>().join("-").to_ascii_lowercase();
        name.truncate(50);
        name.trim_end_matches('-').into()
    }

    /// Whether the store is reached by an address, and so from everywhere.
    pub(crate) fn is_remote(&self) -> bool {
        self.store
            .as_ref()
            .is_some_and(|store| store.contains("://"))
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.workers == 0 {
            return Err(wrong("--workers", "0: give at least 1"));
        }
        if self.resources.cpus == 0 {
            return Err(wrong("--cpus", "0: give at least 1"));
        }
        let secret = self.store.iter().find(|store| holds_secret(store));
        if secret.is_some() {
            return Err(wrong(
                "--store",
                "holds a password or a token, which would be in the job files: leave it out, and give the jobs the \
                 variables of the store's credentials (AWS_ACCESS_KEY_ID, ...)",
            ));
        }
        Ok(())
    }
}

/// Whether an address has a password or a query, where tokens are.
fn holds_secret(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else {
        return false;
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    rest.contains('?') || user.is_some_and(|user| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_jobs_fit_everywhere() {
        for (name, job) in [
            ("methods", "kd-methods"),
            ("My Study_2!", "kd-my-study-2"),
            ("ü", "kd"),
            ("", "kd"),
        ] {
            assert_eq!(Work::new(name, "", "").job(), job);
        }
        let long = Work::new(&"ab-".repeat(40), "", "").job();
        assert!(long.len() <= 50 && !long.ends_with('-'), "{long}");
    }

    #[test]
    fn secrets_do_not_get_into_files() {
        let mut work = Work::new("a", "a.toml", "runs/a");
        for store in ["s3://key:secret@bucket/a", "az://c/a?sig=abc"] {
            work.store = Some(store.into());
            let message = work.check().unwrap_err().to_string();
            assert!(
                message.contains("--store") && !message.contains("secret@"),
                "{message}"
            );
        }
        for store in [
            "s3://bucket/a",
            "abfss://container@account.host/a",
            "/nfs/a:b@c",
        ] {
            work.store = Some(store.into());
            work.check().unwrap();
        }
    }

    #[test]
    fn no_worker_does_nothing() {
        let mut work = Work::new("a", "a.toml", "runs/a");
        work.workers = 0;
        assert!(
            work.check()
                .unwrap_err()
                .to_string()
                .starts_with("--workers: 0")
        );
        work.workers = 1;
        work.resources.cpus = 0;
        assert!(
            work.check()
                .unwrap_err()
                .to_string()
                .starts_with("--cpus: 0")
        );
    }
}
