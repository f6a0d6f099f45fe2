//! What the hub says of a file before it is fetched.

use ureq::http::{HeaderMap, StatusCode, header};

use super::Hub;
use super::address::Address;
use super::cache::is_commit;
use crate::Error;
use crate::download::{agent, number};

/// A file of the hub.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub commit: String,
    /// Names its content: the SHA-256 of what lies in large file storage.
    pub etag: String,
    pub bytes: Option<u64>,
    /// Where the hub itself has it, so that this may be asked for with the token.
    pub url: String,
}

impl Entry {
    /// The SHA-256 of the content, where the hub says it.
    pub(super) fn sha256(&self) -> Option<&str> {
        let etag = self.etag.as_str();
        let hex = etag.bytes().all(|b| b.is_ascii_hexdigit());
        (etag.len() == 64 && hex).then_some(etag)
    }
}

/// Why there is no answer of use.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The hub cannot be reached now: what is in the cache may do.
    Unreachable(String),
    /// It has answered, and the answer is no.
    Final(Error),
}

/// Servers that a hub sends on to before it answers.
const MOST_REDIRECTS: usize = 5;

impl Hub {
    /// Where a file of a revision is.
    pub(super) fn url(&self, address: &Address, revision: &str, file: &str) -> String {
        let (endpoint, repository) = (&self.endpoint, &address.repository);
        let (revision, file) = (escaped(revision, ""), escaped(file, "/"));
        format!("{endpoint}/{repository}/resolve/{revision}/{file}")
    }

    /// Asks for a file of a revision; none when the repository does not have it.
    pub(super) fn ask(
        &self,
        address: &Address,
        revision: &str,
        file: &str,
    ) -> Result<Option<Entry>, Refusal> {
        let mut url = self.url(address, revision, file);
        let mut entry = Entry::default();
        for _ in 0..=MOST_REDIRECTS {
            let mut request = agent(&url).head(&url).config().max_redirects(0).build();
            request = request.header(header::ACCEPT_ENCODING, "identity");
            if let Some(token) = &self.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let response = request
                .call()
                .map_err(|error| Refusal::Unreachable(error.to_string()))?;
            let (status, headers) = (response.status(), response.headers());
            entry.read(headers, status);
            if let Some(next) = redirected(headers, status, &self.endpoint) {
                url = next;
                continue;
            }
            if status.is_success() || status.is_redirection() {
                entry.url = url;
                return self.complete(entry, address, file).map(Some);
            }
            return match text(headers, "x-error-code") {
                Some("EntryNotFound") => Ok(None),
                None if status == StatusCode::NOT_FOUND => Ok(None),
                code => Err(self.refusal(address, status, code)),
            };
        }
        Err(Refusal::Final(address.wrong(format!(
            "{} sends from one page to the next, and never answers",
            self.endpoint
        ))))
    }

    /// What the hub must say of a file, so that it can be kept.
    fn complete(&self, entry: Entry, address: &Address, file: &str) -> Result<Entry, Refusal> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let etag = &entry.etag;
        let fine =
            (1..=128).contains(&etag.len()) && etag.chars().all(plain) && !etag.starts_with('.');
        if fine && is_commit(&entry.commit) {
            return Ok(entry);
        }
        Err(Refusal::Final(address.wrong(format!(
            "{} answers for {file} without commit and checksum (x-repo-commit, etag), so it is no hub or a proxy \
             takes them out; download the file and name its path",
            self.endpoint
        ))))
    }

    fn refusal(&self, address: &Address, status: StatusCode, code: Option<&str>) -> Refusal {
        let (endpoint, repository) = (&self.endpoint, &address.repository);
        let gated = code == Some("GatedRepo");
        let problem = match (status, code) {
            (_, Some("RevisionNotFound")) => format!(
                "{repository} has no branch, tag or commit `{}`",
                address.revision.as_deref().unwrap_or("main")
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if self.token.is_none() => {
                format!(
                    "{endpoint} answers {status}: there is no such repository, or it is private, or its terms must be \
                 accepted first; set HF_TOKEN to a token of an account that may read it"
                )
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) if gated => format!(
                "{endpoint} answers {status}: accept the terms of {endpoint}/{repository} with the account of \
                 HF_TOKEN"
            ),
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) => format!(
                "{endpoint} answers {status}: the token of HF_TOKEN is not valid, or its account may not read this \
                 repository, or there is none of this name"
            ),
            (_, Some("RepoNotFound")) => format!("{endpoint} has no repository {repository}"),
            _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Refusal::Unreachable(format!("{endpoint} answers {status}"));
            }
            _ => format!("{endpoint} answers {status}"),
        };
        Refusal::Final(address.wrong(problem))
    }
}

impl Entry {
    /// Takes what an answer says; a later one knows better.
    fn read(&mut self, headers: &HeaderMap, status: StatusCode) {
        if let Some(commit) = text(headers, "x-repo-commit") {
            commit.clone_into(&mut self.commit);
        }
        let etag = text(headers, "x-linked-etag").or_else(|| {
            let own = self.etag.is_empty() || status.is_success();
            text(headers, "etag").filter(|_| own)
        });
        if let Some(etag) = etag {
            self.etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        }
        let linked = number(headers, "x-linked-size");
        let length = || number(headers, header::CONTENT_LENGTH).filter(|_| status.is_success());
        self.bytes = linked.or_else(length).or(self.bytes);
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Where the hub itself has the answer: a repository that was renamed. Where it leads to another server, that
/// is the file, and the answer is complete.
fn redirected(headers: &HeaderMap, status: StatusCode, endpoint: &str) -> Option<String> {
    let place = text(headers, "location").filter(|_| status.is_redirection())?;
    if let Some(rest) = place.strip_prefix(endpoint)
        && rest.starts_with('/')
    {
        return Some(place.to_owned());
    }
    // A server may itself stand in a folder of another one.
    let host = endpoint.find("://").map_or(0, |at| at + 3);
    let host = endpoint[host..]
        .find('/')
        .map_or(endpoint, |at| &endpoint[..host + at]);
    let own = place.starts_with('/') && !place.starts_with("//");
    own.then(|| format!("{host}{place}"))
}

/// A text as it stands in an address, where `kept` are characters with a meaning.
fn escaped(text: &str, kept: &str) -> String {
    let each = text.bytes().map(|byte| {
        let c = char::from(byte);
        match c.is_ascii_alphanumeric() || "-_.~".contains(c) || kept.contains(c) {
            true => c.to_string(),
            false => format!("%{byte:02X}"),
        }
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hub_itself_is_followed() {
        let place = |location: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("location", location.parse().unwrap());
            redirected(&headers, StatusCode::FOUND, "https://hub.example/mirror")
        };
        let same = Some("https://hub.example/api/x".to_owned());
        assert_eq!(place("/api/x"), same);
        let mirror = "https://hub.example/mirror/x";
        assert_eq!(place(mirror), Some(mirror.to_owned()));
        for other in [
            "//cdn.example/x",
            "https://cdn.example/x",
            "https://hub.example/mirror.evil/x",
        ] {
            assert_eq!(place(other), None, "{other}");
        }
    }

    #[test]
    fn names_are_escaped_as_addresses_want_it() {
        assert_eq!(escaped("refs/pr/7", ""), "refs%2Fpr%2F7");
        assert_eq!(escaped("a b/ü%.pth", "/"), "a%20b/%C3%BC%25.pth");
    }
}
