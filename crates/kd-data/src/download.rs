//! Fetching a file: resumed, verified, and put in place only when it is whole.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ureq::http::{HeaderMap, StatusCode, header};

use crate::Error;
use crate::checksum::Checksum;
use crate::sets::Progress;

/// What to fetch, and how stubbornly.
#[derive(Clone, Debug)]
pub(crate) struct Fetch {
    pub url: String,
    /// Of the whole file.
    pub checksum: Checksum,
    /// What the server wants to know of who asks, and no server that it sends us on to.
    pub token: Option<String>,
    /// Attempts in a row that may bring nothing.
    pub attempts: u32,
    /// Pause after the first of them; it doubles.
    pub pause: Duration,
}

/// How an attempt ended.
enum Failure {
    /// Another attempt may help.
    Passing(String),
    /// It will not.
    Final(Error),
}

/// The file so far.
struct Part {
    path: PathBuf,
    received: u64,
}

impl Fetch {
    pub(crate) fn new(url: impl Into<String>, checksum: Checksum) -> Self {
        Self {
            url: url.into(),
            checksum,
            token: None,
            attempts: 3,
            pause: Duration::from_secs(1),
        }
    }

    /// Fetches to `target`, by way of `target` + `.part`, which a later call goes on with.
    pub(crate) fn to(
        &self,
        target: &Path,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let mut part = OsString::from(target);
        part.push(".part");
        self.by_way_of(Path::new(&part), target, &name, progress)
    }

    /// As [`Fetch::to`], by way of another file, and with the `name` that progress shows.
    pub(crate) fn by_way_of(
        &self,
        part: &Path,
        target: &Path,
        name: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let folder = target.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(Error::io("creating the folder", folder))?;
        let mut part = Part {
            path: part.to_owned(),
            received: std::fs::metadata(part).map_or(0, |data| data.len()),
        };
        self.receive_all(&mut part, name, progress)?;
        progress(Progress::Verifying(name.to_owned()));
        self.verify(&part.path)?;
        std::fs::rename(&part.path, target).map_err(Error::io("renaming to", target))
    }

    fn receive_all(
        &self,
        part: &mut Part,
        name: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Error> {
        let (mut fruitless, mut pause) = (0, self.pause);
        loop {
            let before = part.received;
            match self.receive(part, name, progress) {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(problem)) => {
                    fruitless += 1;
                    if part.received > before {
                        (fruitless, pause) = (1, self.pause);
                    }
                    if fruitless >= self.attempts {
                        let kept = match part.received {
                            0 => String::new(),
                            n => format!("; the {n} bytes so far are kept and continued next time"),
                        };
                        return Err(self.failed(format!(
                            "{problem}; tried {fruitless} times without progress{kept}"
                        )));
                    }
                    std::thread::sleep(pause);
                    pause *= 2;
                }
            }
        }
    }

    fn failed(&self, problem: String) -> Error {
        Error::Download {
            url: self.url.clone(),
            problem,
        }
    }

    /// One connection: from where the file is to its end.
    fn receive(
        &self,
        part: &mut Part,
        name: &str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), Failure> {
        let mut request = agent(&self.url).get(&self.url);
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if part.received > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.received));
        }
        let response = request
            .call()
            .map_err(|error| Failure::Passing(error.to_string()))?;
        let (head, body) = response.into_parts();
        let append = match head.status {
            StatusCode::OK => false,
            StatusCode::PARTIAL_CONTENT => continues_at(&head.headers, part.received)?,
            // We have all of it, or more: the checksum will tell.
            StatusCode::RANGE_NOT_SATISFIABLE if part.received > 0 => return Ok(()),
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(Failure::Passing(format!("the server answered {status}")));
            }
            status => {
                return Err(Failure::Final(
                    self.failed(format!("the server answered {status}")),
                ));
            }
        };
        if !append {
            part.received = 0;
        }
        let length = number(&head.headers, header::CONTENT_LENGTH);
        let total = length.map(|length| part.received + length);
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .append(append)
            .truncate(!append)
            .open(&part.path)
            .map_err(|source| part.full(source))?;
        let report = |received| {
            let file = name.to_string();
            progress(Progress::Download {
                file,
                received,
                total,
            });
        };
        copy(body.into_reader(), file, part, total, report)
    }

    fn verify(&self, path: &Path) -> Result<(), Error> {
        let Some(problem) = self.checksum.problem_of(path)? else {
            return Ok(());
        };
        // Kept, it would be continued for ever.
        std::fs::remove_file(path).map_err(Error::io("removing the wrong file", path))?;
        Err(self.failed(format!(
            "{problem}; the file was removed, so try again, and if it stays wrong the page serves another file"
        )))
    }
}

impl Part {
    fn full(&self, source: io::Error) -> Failure {
        Failure::Final(Error::Io {
            what: "writing (is there space? what is there is kept and continued next time)",
            path: self.path.clone(),
            source,
        })
    }
}

/// Asks one server.
pub(crate) fn agent(url: &str) -> ureq::Agent {
    let mut agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("kd/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    // A proxy of the environment is used, but not to reach this machine.
    if url.starts_with("http://127.0.0.1") {
        agent = agent.proxy(None);
    }
    agent.build().into()
}

fn copy(
    mut body: impl Read,
    mut file: File,
    part: &mut Part,
    total: Option<u64>,
    mut report: impl FnMut(u64),
) -> Result<(), Failure> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        report(part.received);
        let n = match body.read(&mut buffer) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                let problem = format!(
                    "the connection broke after {} bytes: {error}",
                    part.received
                );
                return Err(Failure::Passing(problem));
            }
        };
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n])
            .map_err(|source| part.full(source))?;
        part.received += n as u64;
    }
    match total {
        Some(total) if part.received < total => Err(Failure::Passing(format!(
            "the connection ended after {} of {total} bytes",
            part.received
        ))),
        _ => file.sync_all().map_err(|source| part.full(source)),
    }
}

pub(crate) fn number(headers: &HeaderMap, name: impl header::AsHeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Whether a partial answer starts where the file ends (`Content-Range: bytes START-..`).
fn continues_at(headers: &HeaderMap, received: u64) -> Result<bool, Failure> {
    let range = headers
        .get(header::CONTENT_RANGE)
        .and_then(|value| value.to_str().ok());
    let start = range
        .and_then(|range| range.trim().strip_prefix("bytes "))
        .and_then(|range| range.split('-').next())
        .and_then(|start| start.parse::<u64>().ok());
    match start {
        Some(start) if start == received => Ok(true),
        _ => Err(Failure::Passing(format!(
            "the server answered with the part {} where the one from byte {received} was asked for",
            range.unwrap_or("(unnamed)")
        ))),
    }
}

#[cfg(test)]
#[path = "download_tests.rs"]
mod tests;
