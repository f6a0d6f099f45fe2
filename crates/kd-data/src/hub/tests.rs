use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::*;
use crate::sets::hex;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub with one repository, `org/net`; what is in large storage is on another server.
#[derive(Clone, Default)]
struct Repository {
    /// Content by name.
    files: Vec<(&'static str, Vec<u8>)>,
    /// Who may read it; everybody when none.
    token: Option<&'static str>,
    /// Connections to the large storage that are cut after so many bytes, first the last.
    cuts: Vec<usize>,
    /// Large storage has other bytes than the hub says.
    damaged: bool,
}

struct Request {
    method: String,
    path: String,
    range: Option<usize>,
    token: Option<String>,
}

struct Server {
    port: u16,
    /// `METHOD path from range with token` of every request.
    log: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Repository {
    fn serve(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (log, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::default());
        let (own_log, own_stop): (_, Arc<AtomicBool>) = (Arc::clone(&log), Arc::clone(&stop));
        let mut repository = self;
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if own_stop.load(Ordering::SeqCst) {
                    return;
                }
                let mut stream = stream.unwrap();
                let request = read(&stream);
                let (method, path) = (&request.method, &request.path);
                let range = request
                    .range
                    .map_or(String::new(), |at| format!(" from {at}"));
                let token = request.token.iter().map(|t| format!(" with {t}"));
                let line = format!("{method} {path}{range}{}", token.collect::<String>());
                own_log.lock().unwrap().push(line);
                // The client may hang up first.
                let _ = stream.write_all(&repository.answer(&request, port));
            }
        });
        let thread = Some(thread);
        Server {
            port,
            log,
            stop,
            thread,
        }
    }

    fn answer(&mut self, request: &Request, port: u16) -> Vec<u8> {
        let plain = |status: &str, headers: &str| {
            let end = "content-length: 0\r\nconnection: close\r\n\r\n";
            format!("HTTP/1.1 {status}\r\n{headers}{end}").into_bytes()
        };
        if let Some(name) = request.path.strip_prefix("/storage/") {
            let file = self.files.iter().find(|(known, _)| *known == name);
            let mut content = file.unwrap().1.clone();
            if self.damaged {
                content[0] ^= 1;
            }
            return self.part(&content, request.range.unwrap_or(0));
        }
        let refused =
            |status: &str, code: &str| plain(status, &format!("x-error-code: {code}\r\n"));
        let Some(rest) = request.path.strip_prefix("/hub/") else {
            return refused("404 Not Found", "None");
        };
        if let Some(rest) = rest.strip_prefix("old/name/") {
            let place = format!("location: /hub/org/net/{rest}\r\n");
            return plain("307 Temporary Redirect", &place);
        }
        let Some(rest) = rest.strip_prefix("org/net/resolve/") else {
            return refused("404 Not Found", "RepoNotFound");
        };
        if self.token.is_some() && request.token.as_deref() != self.token {
            return refused("401 Unauthorized", "RepoNotFound");
        }
        let (revision, name) = rest.split_once('/').unwrap();
        if !["main", COMMIT, "refs%2Fpr%2F1"].contains(&revision) {
            return refused("404 Not Found", "RevisionNotFound");
        }
        let Some((name, content)) = self.files.iter().find(|(known, _)| *known == name) else {
            return refused("404 Not Found", "EntryNotFound");
        };
        let commit = format!("x-repo-commit: {COMMIT}\r\n");
        if name.ends_with(".json") {
            let etag = &sha256(content)[..40];
            let head = format!(
                "HTTP/1.1 200 OK\r\n{commit}etag: W/\"{etag}\"\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                content.len()
            );
            let mut answer = head.into_bytes();
            if request.method == "GET" {
                answer.extend(content);
            }
            return answer;
        }
        let headers = format!(
            "{commit}x-linked-etag: \"{}\"\r\nx-linked-size: {}\r\netag: \"other\"\r\n\
             location: http://127.0.0.1:{port}/storage/{name}\r\n",
            sha256(content),
            content.len()
        );
        plain("302 Found", &headers)
    }

    fn part(&mut self, content: &[u8], start: usize) -> Vec<u8> {
        let (end, size) = (content.len() - 1, content.len());
        let length = size - start;
        let status = match start {
            0 => "200 OK\r\n".to_owned(),
            _ => format!("206 Partial Content\r\ncontent-range: bytes {start}-{end}/{size}\r\n"),
        };
        let head =
            format!("HTTP/1.1 {status}content-length: {length}\r\nconnection: close\r\n\r\n");
        let sent = self.cuts.pop().unwrap_or(length).min(length);
        [head.as_bytes(), &content[start..start + sent]].concat()
    }
}

fn read(stream: &TcpStream) -> Request {
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    let mut words = first.split(' ').map(String::from);
    let mut request = Request {
        method: words.next().unwrap(),
        path: words.next().unwrap(),
        range: None,
        token: None,
    };
    for line in lines.take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap();
        match name.to_lowercase().as_str() {
            "range" => {
                let start = value.strip_prefix("bytes=").unwrap().trim_end_matches('-');
                request.range = Some(start.parse().unwrap());
            }
            "authorization" => {
                request.token = Some(value.strip_prefix("Bearer ").unwrap().to_owned());
            }
            _ => {}
        }
    }
    request
}

impl Server {
    fn hub(&self, dir: &TempDir) -> Hub {
        Hub {
            endpoint: format!("http://127.0.0.1:{}/hub", self.port),
            cache: dir.path().join("hub"),
            token: None,
            offline: false,
            pause: Duration::from_millis(1),
        }
    }

    /// The requests since the last call.
    fn requests(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.thread.take().unwrap().join().unwrap();
    }
}

fn sha256(content: &[u8]) -> String {
    hex(&Sha256::digest(content))
}

fn content() -> Vec<u8> {
    (0..50_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect()
}

fn network() -> Repository {
    Repository {
        files: vec![
            ("model.safetensors", content()),
            ("config.json", b"{\"architecture\": \"resnet18\"}".to_vec()),
        ],
        ..Repository::default()
    }
}

fn address(text: &str) -> Address {
    text.parse().unwrap()
}

fn fetch(hub: &Hub, text: &str) -> Result<Fetched, Error> {
    hub.fetch(&address(text), &mut |_| {})
}

fn message(hub: &Hub, text: &str) -> String {
    fetch(hub, text).unwrap_err().to_string()
}

/// All files below a folder, without what a lock leaves.
fn files(dir: &TempDir) -> Vec<String> {
    let (mut files, mut folders) = (Vec::new(), vec![dir.path().to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    let relative = files
        .iter()
        .map(|path| path.strip_prefix(dir.path()).unwrap());
    let mut names: Vec<String> = relative.map(|path| path.to_str().unwrap().into()).collect();
    names.retain(|name| !name.ends_with(".lock"));
    names.sort();
    names
}

#[test]
fn a_repository_lies_in_the_cache_as_the_hubs_tools_lay_it() {
    let dir = TempDir::new().unwrap();
    let server = network().serve();
    let hub = server.hub(&dir);
    let fetched = fetch(&hub, "hf://org/net").unwrap();
    assert_eq!(fetched.address, address(&format!("hf://org/net@{COMMIT}")));
    let repository = dir.path().join("hub/models--org--net");
    let snapshot = repository.join("snapshots").join(COMMIT);
    assert_eq!(fetched.path, snapshot);
    let config = network().files.remove(1).1;
    let (large, small) = (sha256(&content()), sha256(&config)[..40].to_owned());
    let wanted = [
        format!(".no_exist/{COMMIT}/preprocessor_config.json"),
        format!("blobs/{small}"),
        format!("blobs/{large}"),
        "refs/main".to_owned(),
        format!("snapshots/{COMMIT}/config.json"),
        format!("snapshots/{COMMIT}/model.safetensors"),
    ];
    let mut wanted = wanted.map(|name| format!("hub/models--org--net/{name}"));
    wanted.sort();
    assert_eq!(files(&dir), wanted);
    assert_eq!(
        fs::read_to_string(repository.join("refs/main")).unwrap(),
        COMMIT
    );
    assert_eq!(
        fs::read(snapshot.join("model.safetensors")).unwrap(),
        content()
    );
    #[cfg(unix)]
    assert_eq!(
        fs::read_link(snapshot.join("config.json")).unwrap(),
        Path::new(&format!("../../blobs/{small}"))
    );
    // Of a branch the hub is asked what it is now, and nothing is fetched again.
    server.requests();
    assert_eq!(fetch(&hub, "hf://org/net").unwrap(), fetched);
    assert_eq!(
        server.requests(),
        ["HEAD /hub/org/net/resolve/main/model.safetensors"]
    );
    // A commit never changes.
    assert_eq!(hub.fetch(&fetched.address, &mut |_| {}).unwrap(), fetched);
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_file_that_is_named_comes_alone() {
    let dir = TempDir::new().unwrap();
    let mut repository = network();
    repository.files.push(("deep/er/net.pth", vec![7; 9]));
    let server = repository.serve();
    let text = "hf://org/net@refs/pr/1/deep/er/net.pth";
    let mut reports = Vec::new();
    let fetched = server
        .hub(&dir)
        .fetch(&address(text), &mut |r| reports.push(r));
    let fetched = fetched.unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), [7; 9]);
    assert!(
        fetched
            .path
            .ends_with(format!("snapshots/{COMMIT}/deep/er/net.pth"))
    );
    let whole = Progress::Download {
        file: "deep/er/net.pth".into(),
        received: 9,
        total: Some(9),
    };
    assert!(reports.contains(&whole), "{reports:?}");
    assert!(files(&dir).contains(&"hub/models--org--net/refs/refs/pr/1".to_owned()));
    assert_eq!(server.hub(&dir).cached(&address(text)), Some(fetched));
}

#[test]
fn what_was_cut_is_continued_at_once_and_by_a_later_call() {
    let dir = TempDir::new().unwrap();
    let mut repository = network();
    // From the last: cut once and continued, then cut three times without progress.
    repository.cuts = vec![0, 0, 10_000, 30_000];
    let server = repository.serve();
    let hub = server.hub(&dir);
    let error = message(&hub, "hf://org/net");
    assert!(error.contains("the 40000 bytes so far are kept"), "{error}");
    let incomplete = format!(
        "hub/models--org--net/blobs/{}.incomplete",
        sha256(&content())
    );
    assert!(files(&dir).contains(&incomplete), "{:?}", files(&dir));
    server.requests();
    let fetched = fetch(&hub, "hf://org/net").unwrap();
    let storage = "GET /storage/model.safetensors from 40000";
    assert!(server.requests().iter().any(|line| line == storage));
    assert_eq!(
        fs::read(fetched.path.join("model.safetensors")).unwrap(),
        content()
    );
    assert!(!files(&dir).contains(&incomplete));
}

#[test]
fn a_closed_repository_wants_a_token_that_no_other_server_gets() {
    let dir = TempDir::new().unwrap();
    let mut repository = network();
    repository.token = Some("secret");
    let server = repository.serve();
    let mut hub = server.hub(&dir);
    let error = message(&hub, "hf://org/net");
    assert!(
        error.contains("401") && error.contains("set HF_TOKEN to a token"),
        "{error}"
    );
    hub.token = Some("wrong".into());
    let error = message(&hub, "hf://org/net");
    assert!(
        error.contains("the token of HF_TOKEN is not valid"),
        "{error}"
    );
    assert!(!error.contains("wrong"), "{error}");
    assert_eq!(files(&dir), Vec::<String>::new());
    hub.token = Some("secret".into());
    server.requests();
    fetch(&hub, "hf://org/net").unwrap();
    for line in server.requests() {
        assert_eq!(
            line.contains("/hub/"),
            line.ends_with(" with secret"),
            "{line}"
        );
    }
}

#[test]
fn what_is_not_there_is_named() {
    let dir = TempDir::new().unwrap();
    let server = network().serve();
    let hub = server.hub(&dir);
    for (text, part) in [
        ("hf://org/other", "has no repository org/other"),
        (
            "hf://org/net@v9",
            "org/net has no branch, tag or commit `v9`",
        ),
        (
            "hf://org/net/a.pth",
            "hf://org/net/a.pth: the repository has no file a.pth",
        ),
    ] {
        let error = message(&hub, text);
        assert!(error.contains(part), "{error}");
    }
    let mut empty = network();
    empty
        .files
        .retain(|(name, _)| name.ends_with("config.json"));
    let server = empty.serve();
    let error = message(&server.hub(&dir), "hf://org/net");
    assert!(error.contains("has none of model.safetensors, "), "{error}");
    assert!(error.contains("hf://org/net/FILE"), "{error}");
}

#[test]
fn a_file_with_another_checksum_is_thrown_away() {
    let dir = TempDir::new().unwrap();
    let mut repository = network();
    repository.damaged = true;
    let server = repository.serve();
    let error = message(&server.hub(&dir), "hf://org/net");
    for part in [
        "wrong checksum: SHA-256 ",
        &sha256(&content()),
        "was removed",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(files(&dir), Vec::<String>::new());
}

#[test]
fn offline_only_the_cache_is_asked() {
    let dir = TempDir::new().unwrap();
    let server = network().serve();
    let mut hub = server.hub(&dir);
    hub.offline = true;
    let error = message(&hub, "hf://org/net");
    assert!(error.contains("unset HF_HUB_OFFLINE"), "{error}");
    assert_eq!(server.requests(), Vec::<String>::new());
    hub.offline = false;
    let fetched = fetch(&hub, "hf://org/net").unwrap();
    server.requests();
    hub.offline = true;
    assert_eq!(fetch(&hub, "hf://org/net").unwrap(), fetched);
    assert_eq!(server.requests(), Vec::<String>::new());
}

#[test]
fn a_hub_that_cannot_be_reached_is_told_and_the_cache_used() {
    let dir = TempDir::new().unwrap();
    let server = network().serve();
    let hub = server.hub(&dir);
    let fetched = fetch(&hub, "hf://org/net").unwrap();
    drop(server);
    let mut notes = Vec::new();
    let again = hub.fetch(&address("hf://org/net"), &mut |note| notes.push(note));
    assert_eq!(again.unwrap(), fetched);
    let [Progress::Note(note)] = &notes[..] else {
        panic!("{notes:?}");
    };
    assert!(
        note.contains("what the cache has of it is used, commit 0123"),
        "{note}"
    );
    let error = message(&hub, "hf://org/other");
    assert!(error.contains("cannot be asked"), "{error}");
}

#[test]
fn a_cache_that_cannot_be_written_is_named_with_the_cure() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("hub"), "a file").unwrap();
    let server = network().serve();
    let error = message(&server.hub(&dir), "hf://org/net");
    assert!(error.contains("HF_HOME names another folder"), "{error}");
    assert!(error.contains("models--org--net"), "{error}");
}

#[test]
fn all_parts_of_an_index_come() {
    let index = br#"{"weight_map": {"a": "part-1.safetensors", "b": "part-2.safetensors"}}"#;
    let repository = |index: &[u8]| Repository {
        files: vec![
            ("model.safetensors.index.json", index.to_vec()),
            ("part-1.safetensors", vec![1; 10]),
            ("part-2.safetensors", vec![2; 10]),
        ],
        ..Repository::default()
    };
    let dir = TempDir::new().unwrap();
    let server = repository(index).serve();
    let hub = server.hub(&dir);
    let fetched = fetch(&hub, "hf://org/net").unwrap();
    assert_eq!(
        fs::read(fetched.path.join("part-2.safetensors")).unwrap(),
        [2; 10]
    );
    assert!(hub.cached(&fetched.address).is_some());
    fs::remove_file(fetched.path.join("part-1.safetensors")).unwrap();
    assert_eq!(hub.cached(&fetched.address), None);
    for (index, part) in [
        (
            &br#"{"weight_map": {"a": "../../up"}}"#[..],
            "names \"../../up\"",
        ),
        (br#"{"weight_map": {"a": "part-3"}}"#, "names part-3"),
        (br#"{"weights": []}"#, "no index of weights"),
    ] {
        let dir = TempDir::new().unwrap();
        let server = repository(index).serve();
        let error = message(&server.hub(&dir), "hf://org/net");
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_repository_that_was_renamed_is_found() {
    let dir = TempDir::new().unwrap();
    let mut repository = network();
    repository.token = Some("secret");
    let server = repository.serve();
    let mut hub = server.hub(&dir);
    hub.token = Some("secret".into());
    let fetched = fetch(&hub, "hf://old/name").unwrap();
    assert_eq!(
        fs::read(fetched.path.join("model.safetensors")).unwrap(),
        content()
    );
}

#[test]
fn an_answer_that_names_no_content_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || {
        for etag in ["../../x", "", "y"] {
            let mut stream = listener.accept().unwrap().0;
            read(&stream);
            let commit = if etag == "y" { "main" } else { COMMIT };
            let head = format!(
                "HTTP/1.1 200 OK\r\nx-repo-commit: {commit}\r\netag: \"{etag}\"\r\ncontent-length: 1\r\n\
                 connection: close\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    let dir = TempDir::new().unwrap();
    let hub = Hub {
        endpoint: format!("http://127.0.0.1:{port}"),
        cache: dir.path().join("hub"),
        token: None,
        offline: false,
        pause: Duration::from_millis(1),
    };
    for _ in 0..3 {
        let error = message(&hub, "hf://org/net/a");
        assert!(error.contains("without commit and checksum"), "{error}");
    }
    thread.join().unwrap();
    assert_eq!(files(&dir), Vec::<String>::new());
}
