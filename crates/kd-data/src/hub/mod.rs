//! Files of the Hugging Face hub, in the cache that its own tools use.
//!
//! `hf://organisation/name@revision/file` names a file; without a file, the weights of a repository and what
//! describes them. A file is fetched once, and resumed where its download was cut. Where the hub says its SHA-256,
//! it must have it. The environment says what it says to the hub's tools: `HF_HOME` and `HF_HUB_CACHE` where the
//! cache is, `HF_TOKEN` who asks, `HF_ENDPOINT` another server, `HF_HUB_OFFLINE` that none is asked.

mod address;
mod cache;
mod remote;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::address::Address;
use self::cache::Cached;
use self::remote::Refusal;
use self::work::Work;
use crate::{Error, Progress};

/// Weights of a repository, in the order in which they are looked for.
pub const WEIGHTS: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// What describes weights, where a repository has it.
pub const DESCRIPTIONS: [&str; 2] = ["config.json", "preprocessor_config.json"];

/// A hub, and where its files are kept.
#[derive(Clone)]
pub struct Hub {
    endpoint: String,
    cache: PathBuf,
    token: Option<String>,
    offline: bool,
    /// Pause after the first of the attempts that bring nothing.
    pause: Duration,
}

/// What an address leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The same with the commit as its revision, so that it names the same files for ever.
    pub address: Address,
    /// The file, or the folder of the commit.
    pub path: PathBuf,
}

impl Hub {
    /// The hub that the environment names.
    pub fn from_env() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| set(name).map(|value| value.to_string_lossy().trim().to_owned());
        let home = || {
            let cache = set("XDG_CACHE_HOME").map(PathBuf::from);
            let own = || std::env::home_dir().unwrap_or_default().join(".cache");
            cache.unwrap_or_else(own).join("huggingface")
        };
        let home = set("HF_HOME").map_or_else(home, PathBuf::from);
        let logged_in = || {
            let token = std::fs::read_to_string(home.join("token")).ok()?;
            let token = token.trim();
            (!token.is_empty()).then(|| token.to_owned())
        };
        let endpoint = text("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let yes = |value: String| ["1", "ON", "YES", "TRUE"].contains(&&*value.to_uppercase());
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache: set("HF_HUB_CACHE").map_or_else(|| home.join("hub"), PathBuf::from),
            token: text("HF_TOKEN").or_else(logged_in),
            offline: text("HF_HUB_OFFLINE").is_some_and(yes),
            pause: Duration::from_secs(1),
        }
    }

    /// What an address leads to in the cache; none when it is not all there.
    pub fn cached(&self, address: &Address) -> Option<Fetched> {
        let cached = Cached::new(&self.cache, address);
        let commit = cached.commit(address.revision())?;
        let path = match &address.file {
            Some(file) => cached.file(&commit, file)?,
            None => {
                let weights = WEIGHTS.iter().find_map(|file| cached.file(&commit, file))?;
                let shards = shards(&weights, address).ok()?;
                if !shards
                    .iter()
                    .all(|shard| cached.file(&commit, shard).is_some())
                {
                    return None;
                }
                cached.snapshot(&commit)
            }
        };
        Some(Fetched {
            address: address.at(&commit),
            path,
        })
    }

    /// Fetches what an address leads to, as far as it is not in the cache.
    ///
    /// A commit that is all in the cache is not asked for. Of a branch the hub is asked what it is now; when it
    /// cannot be reached, what the cache has of it is taken, and `progress` says so.
    ///
    /// # Errors
    /// [`Error::Hub`] when there is no such repository, revision or file, when it may not be read, or when it is
    /// not in the cache and cannot be fetched; [`Error::Download`] when a download fails; [`Error::Io`] when the
    /// cache cannot be written.
    pub fn fetch(
        &self,
        address: &Address,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Fetched, Error> {
        let cached = self.cached(address);
        match &cached {
            Some(found) if self.offline || self.is_settled(address) => return Ok(found.clone()),
            None if self.offline => {
                return Err(address.wrong(format!(
                    "is not in the cache {}, and HF_HUB_OFFLINE forbids to fetch it: unset HF_HUB_OFFLINE, or name \
                     a file",
                    self.cache.display()
                )));
            }
            _ => {}
        }
        match (self.fetch_now(address, progress), cached) {
            (Ok(fetched), _) => Ok(fetched),
            (Err(Refusal::Unreachable(problem)), Some(found)) => {
                progress(Progress::Note(format!(
                    "{address}: {} cannot be asked ({problem}); what the cache has of it is used, commit {}",
                    self.endpoint,
                    found.address.revision()
                )));
                Ok(found)
            }
            (Err(Refusal::Unreachable(problem)), None) => Err(address.wrong(format!(
                "is not in the cache {}, and {} cannot be asked: {problem}",
                self.cache.display(),
                self.endpoint
            ))),
            (Err(Refusal::Final(error)), _) => Err(error),
        }
    }

    /// Whether nothing new can come of an address that is in the cache.
    fn is_settled(&self, address: &Address) -> bool {
        let cached = Cached::new(&self.cache, address);
        let commit = address.revision();
        let described = DESCRIPTIONS
            .iter()
            .all(|file| cached.file(commit, file).is_some() || cached.is_absent(commit, file));
        cache::is_commit(commit) && (address.file.is_some() || described)
    }

    fn fetch_now(
        &self,
        address: &Address,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Fetched, Refusal> {
        let cached = Cached::new(&self.cache, address);
        let mut work = Work {
            hub: self,
            cached: &cached,
            address: address.clone(),
            progress,
        };
        if let Some(file) = &address.file {
            let path = work.file(file)?.ok_or_else(|| {
                Refusal::Final(address.wrong(format!("the repository has no file {file}")))
            })?;
            let address = work.address;
            return Ok(Fetched { address, path });
        }
        for file in WEIGHTS {
            let Some(path) = work.file(file)? else {
                continue;
            };
            for shard in shards(&path, address).map_err(Refusal::Final)? {
                work.file(&shard)?.ok_or_else(|| {
                    let problem =
                        format!("{file} names {shard}, and the repository has no such file");
                    Refusal::Final(address.wrong(problem))
                })?;
            }
            for file in DESCRIPTIONS {
                work.file(file)?;
            }
            let path = cached.snapshot(work.address.revision());
            let address = work.address;
            return Ok(Fetched { address, path });
        }
        Err(Refusal::Final(address.wrong(format!(
            "the repository has none of {}: name the file of its weights, as {address}/FILE",
            WEIGHTS.join(", ")
        ))))
    }
}

impl Address {
    fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    fn at(&self, commit: &str) -> Self {
        Self {
            revision: Some(commit.to_owned()),
            ..self.clone()
        }
    }

    fn wrong(&self, problem: String) -> Error {
        Error::Hub {
            address: self.to_string(),
            problem,
        }
    }
}

/// The files that an index of weights names; none for what is no index.
fn shards(path: &Path, address: &Address) -> Result<BTreeSet<String>, Error> {
    #[derive(Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    if path.extension().is_none_or(|extension| extension != "json") {
        return Ok(BTreeSet::new());
    }
    let wrong = |problem: String| Error::format(path, problem);
    let text = std::fs::read(path).map_err(Error::io("reading", path))?;
    let index: Index = serde_json::from_slice(&text).map_err(|e| {
        wrong(format!(
            "no index of weights, which has a `weight_map` ({e})"
        ))
    })?;
    let shards: BTreeSet<String> = index.weight_map.into_values().collect();
    match shards.iter().find(|shard| !address::is_file(shard)) {
        Some(shard) => Err(wrong(format!(
            "names {shard:?}, which is no file of {address}"
        ))),
        None => Ok(shards),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
