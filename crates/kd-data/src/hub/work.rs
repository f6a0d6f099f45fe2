//! Fetching files of one commit into the cache.

use std::path::PathBuf;

use super::Hub;
use super::address::Address;
use super::cache::{self, Cached, unwritable};
use super::remote::{Entry, Refusal};
use crate::checksum::Checksum;
use crate::download::Fetch;
use crate::{Error, Progress};

/// Where the files go, and which commit they are of.
pub(super) struct Work<'a> {
    pub hub: &'a Hub,
    pub cached: &'a Cached,
    /// With the commit, as soon as the hub has named it.
    pub address: Address,
    pub progress: &'a mut dyn FnMut(Progress),
}

impl Work<'_> {
    /// The path of a file in the cache; none when the repository does not have it.
    pub(super) fn file(&mut self, file: &str) -> Result<Option<PathBuf>, Refusal> {
        let revision = self.address.revision().to_owned();
        if cache::is_commit(&revision) {
            if let Some(path) = self.cached.file(&revision, file) {
                return Ok(Some(path));
            }
            if self.cached.is_absent(&revision, file) {
                return Ok(None);
            }
        }
        let Some(entry) = self.hub.ask(&self.address, &revision, file)? else {
            if cache::is_commit(&revision) {
                let noted = self.cached.note_absent(&revision, file);
                noted.map_err(Refusal::Final)?;
            }
            return Ok(None);
        };
        let path = self.receive(&revision, file, &entry);
        let path = path.map_err(Refusal::Final)?;
        self.address = self.address.at(&entry.commit);
        Ok(Some(path))
    }

    fn receive(&mut self, revision: &str, file: &str, entry: &Entry) -> Result<PathBuf, Error> {
        let Entry {
            commit, etag, url, ..
        } = entry;
        let blob = self.cached.blob(etag);
        self.cached.prepare()?;
        let _lock = self.cached.lock(etag)?;
        if !blob.is_file() && self.cached.file(commit, file).is_none() {
            let checksum = match (entry.sha256(), entry.bytes) {
                (Some(sha256), _) => Checksum::Sha256(sha256.to_owned()),
                (None, Some(bytes)) => Checksum::Bytes(bytes),
                (None, None) => {
                    return Err(self.address.wrong(format!(
                        "{} says neither size nor checksum of {file}: download it and name its path",
                        self.hub.endpoint
                    )));
                }
            };
            let fetch = Fetch {
                token: self.hub.token.clone(),
                pause: self.hub.pause,
                ..Fetch::new(url, checksum)
            };
            let part = blob.with_file_name(format!("{etag}.incomplete"));
            fetch
                .by_way_of(&part, &blob, file, self.progress)
                .map_err(|error| match error {
                    Error::Io { path, source, .. } => unwritable(&path)(source),
                    error => error,
                })?;
        }
        let path = self.cached.link(commit, file, etag)?;
        self.cached.note_revision(revision, commit)?;
        Ok(path)
    }
}
